"""Which jobs a comparison has, as far as its results tell already."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speechbrain_dfkd.comparison.plan import Plan
from speechbrain_dfkd.comparison.results import (
    REPORT,
    TUNING,
    JobResult,
    job_path,
)
from speechbrain_dfkd.comparison.statistics import choose_setting
from speechbrain_dfkd.errors import UserError


@dataclass(frozen=True)
class Job:
    """One training of one arm.

    Arguments
    ---------
    arm : str
        Its name in the comparison file.
    seed : int
        The student's.
    purpose : str
        "report" or "tuning".
    setting : dict
        What was tuned: keys of the leaf and their values.

    Example
    -------
    >>> Job("dfkd", 1, "report", {"lr": 0.001}).name
    'dfkd-lr_0.001-seed_1'
    """

    arm: str
    seed: int
    purpose: str
    setting: dict

    @property
    def name(self) -> str:
        """The name of its files and folder, a job's alone."""
        path = job_path("", self.arm, self.setting, self.seed)
        return path.name.removesuffix(path.suffix)

    def result_path(self, folder) -> Path:
        """Return the file of its result in a comparison's folder."""
        return job_path(folder, self.arm, self.setting, self.seed)


def known_jobs(plan: Plan, results: Iterable[JobResult]) -> list:
    """Return all jobs that can be named now, finished or not.

    First the baseline chooses its learning rate; with that each other arm
    chooses its gradient ratio; an arm that has chosen is trained from each
    of its seeds, all arms from the first seed before any from the second. Each
    finished job can make more jobs known.

    Arguments
    ---------
    plan : Plan
        The comparison.
    results : iterable of JobResult
        The finished jobs.

    Returns
    -------
    list of Job
        In the order in which to start them.

    Raises
    ------
    UserError
        Where an arm was reported with another setting than it chooses.
    """
    results = list(results)
    tried = baseline_settings(plan)
    jobs, chosen = _jobs_of(plan, plan.baseline, tried, results)
    if chosen is None:
        return jobs
    for arm in other_arms(plan):
        jobs += _jobs_of(plan, arm, arm_settings(plan, arm, chosen), results)[0]
    order = [plan.tuning_seed, *plan.seeds]
    return sorted(jobs, key=lambda job: order.index(job.seed))


def number_of_jobs(plan: Plan) -> int:
    """Return how many jobs a comparison has, once all are known."""
    first = baseline_settings(plan)
    tried = [arm_settings(plan, arm, first[0]) for arm in other_arms(plan)]
    trials = [first, *tried]
    arms = [plan.baseline, *other_arms(plan)]
    tuning = sum(
        len(one)
        for arm, one in zip(arms, trials, strict=True)
        if _needs_trials(plan, arm, one)
    )
    return tuning + sum(len(plan.seeds_of(arm)) for arm in plan.arms)


def other_arms(plan: Plan) -> list:
    """Return the names of all arms but the baseline."""
    return [arm for arm in plan.arms if arm != plan.baseline]


def baseline_settings(plan: Plan) -> list:
    """Return the settings tried for the baseline."""
    return [{"lr": lr} for lr in plan.learning_rates] or [{}]


def arm_settings(plan: Plan, arm: str, baseline: dict) -> list:
    """Return the settings tried for another arm.

    An arm keeps what it sets itself: its ``lr``, and its weight.

    Arguments
    ---------
    plan : Plan
        The comparison.
    arm : str
        Its name.
    baseline : dict
        The setting that the baseline chose.
    """
    own = plan.arms[arm]
    held = {key: value for key, value in baseline.items() if key not in own}
    weighed = "kd_weight" in own or "kd_gradient_ratio" in own
    ratios = [] if weighed else plan.gradient_ratios
    return [{"kd_gradient_ratio": ratio, **held} for ratio in ratios] or [held]


def _jobs_of(plan, arm, tried, results):
    """Return an arm's known jobs and its setting, None until it has chosen."""
    finished = [result for result in results if result.arm == arm]
    jobs, chosen = [], tried[0]
    if _needs_trials(plan, arm, tried):
        seed = plan.tuning_seed
        jobs = [Job(arm, seed, TUNING, setting) for setting in tried]
        chosen = _choice(plan, tried, finished)
    if chosen is None:
        return jobs, None
    _refuse_other_reports(arm, chosen, finished)
    seeds = plan.seeds_of(arm)
    return jobs + [Job(arm, s, REPORT, chosen) for s in seeds], chosen


def _needs_trials(plan, arm, tried):
    # An arm that is never reported has its one setting tried as well.
    return len(tried) > 1 or not plan.seeds_of(arm)


def _choice(plan, tried, finished):
    tuned = [result for result in finished if result.purpose == TUNING]
    found = [r for setting in tried for r in tuned if r.setting == setting]
    if len(found) < len(tried):
        return None
    return choose_setting(found, plan.tune_on)


def _refuse_other_reports(arm, chosen, finished):
    for result in finished:
        if result.purpose == REPORT and result.setting != chosen:
            raise UserError(
                f"arm {arm} must be reported with one setting, got "
                f"{result.setting} in {result.label} and {chosen} chosen now; "
                f"give back the values tried before, or choose another name "
                f"for this comparison"
            )
