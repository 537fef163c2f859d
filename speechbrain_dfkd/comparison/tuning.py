"""Which jobs a comparison has, as far as its results tell already."""

from collections.abc import Iterable

import pandas as pd

from speechbrain_dfkd.comparison.plan import Plan
from speechbrain_dfkd.comparison.results import REPORT, TUNING, Job, JobResult
from speechbrain_dfkd.comparison.statistics import clip_means
from speechbrain_dfkd.errors import UserError


def known_jobs(plan: Plan, results: Iterable[JobResult]) -> list:
    """Return all jobs that can be named now, finished or not, in their order.

    First the baseline chooses its learning rate; with that each other arm
    chooses its gradient ratio; an arm that has chosen is trained from each
    of its seeds, all arms from the first seed before any from the second.
    """
    results = list(results)
    tried = baseline_settings(plan)
    jobs, chosen = _jobs_of(plan, plan.baseline, tried, results)
    if chosen is None:
        return jobs
    for arm in plan.others:
        jobs += _jobs_of(plan, arm, arm_settings(plan, arm, chosen), results)[0]
    order = [plan.tuning_seed, *plan.seeds]
    return sorted(jobs, key=lambda job: order.index(job.seed))


def number_of_jobs(plan: Plan) -> int:
    """Return how many jobs a comparison has, once all are known."""
    first = baseline_settings(plan)
    trials = {plan.baseline: first} | {
        arm: arm_settings(plan, arm, first[0]) for arm in plan.others
    }
    tuning = sum(
        len(tried)
        for arm, tried in trials.items()
        if _needs_trials(plan, arm, tried)
    )
    return tuning + sum(len(plan.seeds_of(arm)) for arm in plan.arms)


def baseline_settings(plan: Plan) -> list:
    """Return the settings tried for the baseline."""
    return [{"lr": lr} for lr in plan.learning_rates] or [{}]


def arm_settings(plan: Plan, arm: str, baseline: dict) -> list:
    """Return the settings tried for an arm, at what the baseline chose.

    An arm keeps what it sets itself: its ``lr``, and its weight.
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
        found = [
            result
            for setting in tried
            for result in finished
            if (result.purpose, result.setting) == (TUNING, setting)
        ]
        if len(found) < len(tried):
            return jobs, None
        chosen = choose_setting(found, plan.tune_on)
    for result in finished:
        if result.purpose == REPORT and result.setting != chosen:
            raise UserError(
                f"arm {arm} must be reported with one setting, got "
                f"{result.setting} in {result.label} and {chosen} chosen now; "
                f"give back the values tried before, or choose another name "
                f"for this comparison"
            )
    seeds = plan.seeds_of(arm)
    return jobs + [Job(arm, s, REPORT, chosen) for s in seeds], chosen


def _needs_trials(plan, arm, tried):
    # An arm that is never reported has its one setting tried as well.
    return len(tried) > 1 or not plan.seeds_of(arm)


def setting_means(jobs: Iterable[JobResult], metric: str) -> list:
    """Return (setting, mean validation score) of an arm's tuning jobs.

    A clip for which the metric is undefined in one of the jobs is left out of
    all; none left, or no job, is a ``UserError``.
    """
    jobs = list(jobs)
    scores = pd.DataFrame(
        [{clip: of.get(metric) for clip, of in j.valid.items()} for j in jobs],
        dtype=float,
    ).dropna(axis="columns")
    if scores.empty:
        raise UserError(
            f"{metric} must be defined for a validation clip in all tuning "
            f"jobs, got none in {len(jobs)} jobs; choose another tune_on"
        )
    settings = [job.setting for job in jobs]
    return list(zip(settings, clip_means(scores).tolist(), strict=True))


def choose_setting(jobs: Iterable[JobResult], metric: str) -> dict:
    """Return the setting of the largest mean; of equal ones the first."""
    setting, _ = max(setting_means(jobs, metric), key=lambda pair: pair[1])
    return setting
