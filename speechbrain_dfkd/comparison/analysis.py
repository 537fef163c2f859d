"""From scores to means, differences and their intervals."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from speechbrain_dfkd.comparison.results import SYSTEMS, ComparisonResults
from speechbrain_dfkd.comparison.statistics import (
    Estimate,
    bootstrap_mean,
    clip_means,
    holm,
    mean_over_seeds,
)
from speechbrain_dfkd.comparison.tuning import setting_means
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation.metrics import best_metrics
from speechbrain_dfkd.run_folder import COLUMNS

METRICS = tuple(best_metrics())


class Row(NamedTuple):
    """One number of the report, and one line of its CSV file.

    ``quantity`` is ``mean``, ``difference`` (to the results' first arm, paired
    by seed), ``difference_bootstrap``, ``difference_by_seed``, ``snr_mean``,
    ``snr_difference``, ``valid_mean``, ``valid_difference``,
    ``gate_difference`` (teacher minus the plan's baseline on validation),
    ``tuning_mean`` (on validation), ``kd_weight`` (as a job measured it),
    ``step_seconds`` or ``step_ratio`` (to the first arm). ``condition`` is a
    class of clips, a seed, a setting or a margin; ``p_holm`` is p corrected
    over arms; ``seeds`` and ``clips`` say from how many.
    """

    quantity: str
    system: str
    metric: str = ""
    condition: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds: int | None = None
    clips: int | None = None


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows as a table, NaN where they have None."""
    floats = dict.fromkeys(("value", "low", "high", "p", "p_holm"), float)
    integers = dict.fromkeys(("seeds", "clips"), "Int64")
    table = pd.DataFrame(list(rows), columns=Row._fields)
    return table.astype(floats | integers)


def select(
    numbers: pd.DataFrame,
    quantity: str,
    systems: Sequence[str],
    metric: str = "",
    condition: str = "",
) -> Iterator:
    """Yield each system's row of ``numbers``; its value is NaN if none is."""
    key = numbers[["quantity", "metric", "condition"]]
    found = numbers[(key == [quantity, metric, condition]).all(axis=1)]
    return found.set_index("system").reindex(systems).itertuples()


def all_rows(results: ComparisonResults) -> pd.DataFrame:
    """Return every number that can be had from what is finished."""
    rows = []
    for metric in METRICS:
        found = _score_rows(results, metric)
        rows += (row._replace(metric=metric) for row in found)
    rows += gate_rows(results)
    rows += _tuning_rows(results)
    rows += _weight_rows(results)
    rows += _time_rows(results)
    return as_table(rows)


def _score_rows(results, metric):
    test = score_table(results, metric)
    yield from _mean_rows(results, test, "mean")
    yield from _tested_rows(results, test)
    yield from _snr_rows(results, test)
    # Arms, settings, and epochs within a training are chosen on these clips:
    # they cannot show that a choice was right.
    valid = score_table(results, metric, "valid")
    yield from _mean_rows(results, valid, "valid_mean")
    yield from _difference_rows(results, valid, "valid_difference")


def score_table(
    results: ComparisonResults, metric: str, split: str = "test"
) -> pd.DataFrame:
    """Return a metric's scores, a row for each system (and seed of an arm).

    A clip for which it is undefined anywhere is left out everywhere.

    Shape
    -----
    returns: [systems and seeds, U]
    """
    found = {
        (name, None): results.systems[name][split]
        for name in SYSTEMS
        if name in results.systems
    }
    for arm in results.arms:
        for seed, job in results.reported(arm).items():
            found[arm, seed] = getattr(job, split)
    table = pd.DataFrame(
        [
            {clip: of.get(metric) for clip, of in scores.items()}
            for scores in found.values()
        ],
        pd.MultiIndex.from_tuples(found, names=["system", "seed"]),
        dtype=float,
    )
    return table.dropna(axis="columns")


def differences(table: pd.DataFrame, arm: str, baseline: str) -> pd.DataFrame:
    """Return arm minus baseline for the seeds that both have.

    Shape
    -----
    returns: [S, U]
    """
    ours, theirs = (
        table[table.index.get_level_values("system") == name].droplevel(0)
        for name in (arm, baseline)
    )
    common = [seed for seed in ours.index if seed in theirs.index]
    return ours.loc[common] - theirs.loc[common]


def _row(table, quantity, system, estimate, seeds, condition=""):
    return Row(
        quantity, system, condition=condition, **estimate._asdict(),
        seeds=seeds, clips=table.shape[1],
    )  # fmt: skip


def _mean_rows(results, table, quantity, condition=""):
    """Yield each system's mean over seeds of its means over clips."""
    if table.shape[1]:
        by_system = clip_means(table).groupby("system", sort=False)
        for system, means in by_system:
            estimate = _untested(means, results)
            seeds = None if system in SYSTEMS else len(means)
            yield _row(table, quantity, system, estimate, seeds, condition)


def _untested(means, results):
    # That a score is not zero is no finding, and the gate asks for a margin.
    confidence = results.comparison["confidence"]
    return mean_over_seeds(means, confidence)._replace(p=None)


def _paired(results, table):
    """Yield (arm, differences to the first) where these share a seed."""
    baseline, *arms = results.arms
    for arm in arms if table.shape[1] else ():
        found = differences(table, arm, baseline)
        if len(found):
            yield arm, found


def _difference_rows(results, table, quantity, condition=""):
    """Yield the arms' differences to the first, with t intervals."""
    for arm, found in _paired(results, table):
        means, confidence = clip_means(found), results.comparison["confidence"]
        estimate = mean_over_seeds(means, confidence)
        yield _row(table, quantity, arm, estimate, len(found), condition)


def _tested_rows(results, table):
    """Yield the arms' differences to the first, with corrected p values."""
    confidence = results.comparison["confidence"]
    draws = results.comparison["bootstrap_draws"]
    paired, crossed = [], []
    for arm, found in _paired(results, table):
        means = clip_means(found)
        for seed, value in means.items():
            estimate, condition = Estimate(value), f"seed {seed}"
            yield _row(table, "difference_by_seed", arm, estimate, 1, condition)
        estimate = mean_over_seeds(means, confidence)
        paired.append(_row(table, "difference", arm, estimate, len(found)))
        estimate = bootstrap_mean(
            np.ascontiguousarray(found), confidence, draws
        )
        crossed.append(
            _row(table, "difference_bootstrap", arm, estimate, len(found))
        )
    for rows in (paired, crossed):
        corrected = holm([row.p for row in rows])
        for row, p_holm in zip(rows, corrected, strict=True):
            yield row._replace(p_holm=p_holm)


def snr_classes(edges: list) -> list:
    """Return the names of the classes that ascending edges in dB make."""
    inner = [f"{low} to {high} dB" for low, high in pairwise(edges)]
    return [f"below {edges[0]} dB", *inner, f"from {edges[-1]} dB"]


def _snr_rows(results, table):
    """Yield means and differences by the noisy clip's SI-SDR.

    A class holds its lower edge and not its upper one. A clip whose input has
    no SI-SDR (silence, for example) is in none.
    """
    edges = results.comparison["snr_edges_db"]
    if not edges or "noisy" not in results.systems:
        return
    noisy = results.systems["noisy"]["test"]
    # None becomes NaN, which digitize takes for the largest.
    snrs = np.array([noisy[clip].get("si_sdr") for clip in table], float)
    known, of_clip = ~np.isnan(snrs), np.digitize(snrs, edges)
    for index, name in enumerate(snr_classes(edges)):
        part = table.loc[:, known & (of_clip == index)]
        yield from _mean_rows(results, part, "snr_mean", name)
        yield from _difference_rows(results, part, "snr_difference", name)


def gate_rows(results: ComparisonResults) -> Iterator[Row]:
    """Yield teacher minus baseline on validation, for each gate metric.

    The plan's baseline, whatever arm the differences are to.
    """
    baseline = results.comparison["baseline"]
    for metric, margin in results.comparison["gate"].items():
        table = score_table(results, metric, "valid")
        if not {"teacher", baseline} <= set(table.index.unique("system")):
            continue
        if not table.shape[1]:
            raise UserError(
                "the gate's metrics must be defined for some validation clip "
                f"in all systems, got none for {metric}; correct the "
                "comparison file's gate"
            )
        means = clip_means(table)
        leads = means["teacher"].item() - means[baseline]
        estimate, condition = _untested(leads, results), f"at least {margin:+g}"
        yield _row(
            table, "gate_difference", "teacher", estimate, len(leads), condition
        )._replace(metric=metric)


def is_void(results: ComparisonResults, numbers: pd.DataFrame) -> bool:
    """Tell whether the teacher misses the margin of a gate metric."""
    leads = numbers[numbers.quantity == "gate_difference"]
    margins = leads.metric.map(results.comparison["gate"])
    return bool((leads.value < margins).any())


def heading(metric: str) -> str:
    """Return a metric's name with its unit; its key if it has no other."""
    return COLUMNS[metric][0] if metric in COLUMNS else metric


def setting_text(setting: dict) -> str:
    """Return a setting for a reader, as ``kd_gradient_ratio 0.3, lr 0.001``."""
    return ", ".join(f"{key} {value}" for key, value in sorted(setting.items()))


def _tuning_rows(results):
    """Yield the mean validation score of each setting that was tried."""
    metric = results.comparison["tune_on"]
    for arm in results.all_arms:
        jobs = results.tuning(arm)
        for setting, mean in setting_means(jobs, metric) if jobs else ():
            text = setting_text(setting)
            yield Row("tuning_mean", arm, metric, text, mean, seeds=1)


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
    seconds = {
        arm: pd.Series(
            {seed: job.seconds_per_step for seed, job in jobs.items()}
        )
        for arm in results.arms
        if (jobs := results.reported(arm))
    }
    for arm, own in seconds.items():
        yield Row("step_seconds", arm, value=own.median(), seeds=len(own))
        if results.arms[0] in seconds:
            ratios = (own / seconds[results.arms[0]]).dropna()
            if len(ratios):
                yield Row(
                    "step_ratio", arm, value=ratios.median(), seeds=len(ratios)
                )
