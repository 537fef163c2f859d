"""Which jobs a comparison has, as far as its results tell already."""

from speechbrain_dfkd.comparison.plan import Plan
from speechbrain_dfkd.comparison.results import REPORT, TUNING, Job, JobResult
from speechbrain_dfkd.comparison.statistics import clip_means, clip_scores
from speechbrain_dfkd.errors import UserError


def known_jobs(
    plan: Plan, results: list[JobResult], guesses: bool = False
) -> list[Job]:
    """Return all jobs that can be named now, finished or not, in their order.

    First the baseline chooses its learning rate; with that each other arm
    chooses its gradient ratio; an arm that has chosen is trained from each
    of its seeds, all arms from the first seed before any from the second.
    With ``guesses`` the first setting stands for a choice that is not made.
    """
    rates = [{"lr": lr} for lr in plan.learning_rates] or [{}]
    jobs, chosen = _jobs_of(plan, plan.baseline, rates, results, guesses)
    if chosen is None:
        return jobs
    for arm in plan.others:
        # An arm keeps what it sets itself: its lr, and its weight.
        own = plan.arms[arm]
        held = {key: value for key, value in chosen.items() if key not in own}
        weighed = "kd_weight" in own or "kd_gradient_ratio" in own
        ratios = [] if weighed else plan.gradient_ratios
        tried = [{"kd_gradient_ratio": ratio, **held} for ratio in ratios]
        jobs += _jobs_of(plan, arm, tried or [held], results, guesses)[0]
    order = [plan.tuning_seed, *plan.seeds]
    return sorted(jobs, key=lambda job: order.index(job.seed))


def number_of_jobs(plan: Plan) -> int:
    """Return how many jobs a comparison has, once all are known."""
    return len(known_jobs(plan, [], guesses=True))


def _jobs_of(
    plan: Plan,
    arm: str,
    tried: list[dict],
    results: list[JobResult],
    guesses: bool,
) -> tuple[list, dict | None]:
    """Return an arm's known jobs and its setting, None until it has chosen."""
    finished = [result for result in results if result.arm == arm]
    jobs, chosen, seeds = [], tried[0], plan.seeds_of(arm)
    # An arm that is never reported has its one setting tried as well.
    if len(tried) > 1 or not seeds:
        jobs = [
            Job(arm, plan.tuning_seed, TUNING, setting) for setting in tried
        ]
        trials = {job.name: job for job in finished if job.purpose == TUNING}
        found = [trials[job.name] for job in jobs if job.name in trials]
        if len(found) == len(tried):
            chosen = choose_setting(found, plan.tune_on)
        elif not guesses:
            return jobs, None
    for result in finished:
        if result.purpose == REPORT and result.setting != chosen:
            raise UserError(
                f"arm {arm} must be reported with one setting, got "
                f"{result.setting} in {result.label} and {chosen} chosen now; "
                f"give back the values tried before, or choose another name "
                f"for this comparison"
            )
    return jobs + [Job(arm, seed, REPORT, chosen) for seed in seeds], chosen


def setting_means(jobs: list[JobResult], metric: str) -> list:
    """Return (setting, mean validation score) of an arm's tuning jobs.

    A clip for which the metric is undefined in one of the jobs is left out of
    all; none left, or no job, is a ``UserError``.
    """
    scores = clip_scores([job.valid for job in jobs], metric)
    if scores.empty:
        raise UserError(
            f"{metric} must be defined for a validation clip in all tuning "
            f"jobs, got none in {len(jobs)} jobs; choose another tune_on"
        )
    means = clip_means(scores)
    return [(job.setting, mean) for job, mean in zip(jobs, means, strict=True)]


def choose_setting(jobs: list[JobResult], metric: str) -> dict:
    """Return the setting of the largest mean; of equal ones the first."""
    setting, _ = max(setting_means(jobs, metric), key=lambda pair: pair[1])
    return setting
