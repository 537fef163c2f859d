"""The numbers of a comparison's report about its trainings, beside scores."""

from collections.abc import Iterator

import numpy as np

from speechbrain_dfkd.comparison.comparison_results import ComparisonResults
from speechbrain_dfkd.comparison.report_row import Row
from speechbrain_dfkd.comparison.statistics import setting_means


def setting_text(setting: dict) -> str:
    """Return a setting for a reader, as ``kd_gradient_ratio 0.3, lr 0.001``."""
    return ", ".join(f"{key} {value}" for key, value in sorted(setting.items()))


def training_rows(results: ComparisonResults) -> Iterator[Row]:
    """Yield all numbers about the trainings."""
    yield from _tuning_rows(results)
    yield from _weight_rows(results)
    yield from _time_rows(results)


def _tuning_rows(results):
    """Yield the mean validation score of each setting that was tried."""
    metric = results.comparison["tune_on"]
    for arm in results.all_arms:
        jobs = results.tuning(arm)
        for setting, mean in setting_means(jobs, metric) if jobs else ():
            yield Row(
                "tuning_mean", arm, metric, setting_text(setting), mean, seeds=1
            )


def _weight_rows(results):
    """Yield the kd_weight of each reported job that measured one."""
    for arm in results.arms:
        for seed, job in results.reported(arm).items():
            if job.kd_weight is not None:
                yield Row(
                    "kd_weight", arm, condition=f"seed {seed}",
                    value=job.kd_weight, seeds=1,
                )  # fmt: skip


def _time_rows(results):
    """Yield the time of a step, and its ratio to the first arm's.

    Both are medians over seeds. The ratio is taken within a seed: its jobs see
    the same data in the same order.
    """
    baseline = results.reported(results.arms[0])
    for arm in results.arms:
        jobs = results.reported(arm)
        seconds = [job.seconds_per_step for job in jobs.values()]
        ratios = [
            job.seconds_per_step / baseline[seed].seconds_per_step
            for seed, job in jobs.items()
            if seed in baseline
        ]
        for quantity, of in (("step_seconds", seconds), ("step_ratio", ratios)):
            if of:
                median = float(np.median(of))
                yield Row(quantity, arm, value=median, seeds=len(of))
