"""From a comparison's results to the numbers of its report."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from speechbrain_dfkd.comparison.comparison_results import ComparisonResults
from speechbrain_dfkd.comparison.report_row import Row
from speechbrain_dfkd.comparison.score_table import ScoreTable, score_table
from speechbrain_dfkd.comparison.statistics import (
    Estimate,
    bootstrap_mean,
    holm,
    mean_over_seeds,
)
from speechbrain_dfkd.comparison.training_rows import training_rows
from speechbrain_dfkd.errors import UserError

METRICS = ("pesq_wb", "stoi", "si_sdr")


def all_rows(results: ComparisonResults) -> list:
    """Return every number that can be had from what is finished."""
    rows = []
    for metric in METRICS:
        table = score_table(results, metric)
        if table.clips:
            rows += mean_rows(results, table, "mean")
            rows += difference_rows(results, table)
            rows += snr_rows(results, table)
        rows += validation_rows(results, metric)
    return [
        *rows,
        *gate_rows(results),
        *training_rows(results),
    ]


def mean_rows(results, table: ScoreTable, quantity: str, condition: str = ""):
    """Yield each system's mean over seeds of its means over clips."""
    for system, of in table.scores.items():
        if of:
            means = [values.mean() for values in of.values()]
            yield _row(
                quantity, system, table, condition,
                _untested(means, results.comparison["confidence"]),
                seeds=None if None in of else len(of),
            )  # fmt: skip


def difference_rows(results: ComparisonResults, table: ScoreTable):
    """Yield the arms' differences to the first, with corrected p values."""
    plan = results.comparison
    baseline, *arms = results.arms
    estimates = {"difference": [], "difference_bootstrap": []}
    for arm in arms:
        seeds, differences = table.differences(arm, baseline)
        if not seeds:
            continue
        means = differences.mean(axis=1)
        for seed, value in zip(seeds, means, strict=True):
            yield _row(
                "difference_by_seed", arm, table, f"seed {seed}",
                Estimate(float(value)), 1,
            )  # fmt: skip
        paired = mean_over_seeds(means, plan["confidence"])
        crossed = bootstrap_mean(
            differences, plan["confidence"], plan["bootstrap_draws"]
        )
        estimates["difference"].append((arm, paired, len(seeds)))
        estimates["difference_bootstrap"].append((arm, crossed, len(seeds)))
    for quantity, of in estimates.items():
        corrected = holm([estimate.p for _, estimate, _ in of])
        for (arm, estimate, seeds), p in zip(of, corrected, strict=True):
            yield _row(quantity, arm, table, "", estimate, seeds, p)


def snr_classes(edges: list) -> list:
    """Return the names of the classes that ascending edges in dB make.

    Example
    -------
    >>> snr_classes([0, 5])
    ['below 0 dB', '0 to 5 dB', 'from 5 dB']
    """
    inner = [f"{low} to {high} dB" for low, high in pairwise(edges)]
    return [f"below {edges[0]} dB", *inner, f"from {edges[-1]} dB"]


def snr_rows(results: ComparisonResults, table: ScoreTable) -> Iterator:
    """Yield means and differences by the noisy clip's SI-SDR.

    A class holds its lower edge and not its upper one. A clip whose input has
    no SI-SDR (silence, for example) is in none.
    """
    edges = results.comparison["snr_edges_db"]
    if not edges or "noisy" not in results.systems:
        return
    noisy = results.systems["noisy"]["test"]
    # None becomes NaN, which digitize takes for the largest.
    snrs = np.array([noisy[clip].get("si_sdr") for clip in table.clips], float)
    known, of_clip = ~np.isnan(snrs), np.digitize(snrs, edges)
    for index, name in enumerate(snr_classes(edges)):
        part = table.only(known & (of_clip == index))
        if part.clips:
            yield from mean_rows(results, part, "snr_mean", name)
            yield from _differences(results, part, "snr_difference", name)


def _differences(results, table, quantity, condition=""):
    """Yield the arms' differences to the first, with t intervals."""
    baseline, *arms = results.arms
    for arm in arms:
        seeds, differences = table.differences(arm, baseline)
        if seeds:
            means = differences.mean(axis=1)
            estimate = mean_over_seeds(means, results.comparison["confidence"])
            yield _row(quantity, arm, table, condition, estimate, len(seeds))


def validation_rows(results: ComparisonResults, metric: str) -> Iterator:
    """Yield means and differences on validation.

    On these clips arms and settings are chosen, and epochs within a training:
    they cannot show that a choice was right.
    """
    table = score_table(results, metric, "valid")
    if table.clips:
        yield from mean_rows(results, table, "valid_mean")
        yield from _differences(results, table, "valid_difference")


def gate_rows(results: ComparisonResults):
    """Yield teacher minus baseline on validation, for each gate metric.

    The plan's baseline, whatever arm the differences are to.
    """
    plan = results.comparison
    for metric, margin in plan["gate"].items():
        table = score_table(results, metric, "valid")
        baseline = table.scores[plan["baseline"]]
        if "teacher" in table.scores and baseline:
            _require_clips(table)
            teacher = table.scores["teacher"][None].mean()
            leads = [teacher - values.mean() for values in baseline.values()]
            yield _row(
                "gate_difference", "teacher", table, f"at least {margin:+g}",
                _untested(leads, plan["confidence"]), len(leads),
            )  # fmt: skip


def _require_clips(table):
    if not table.clips:
        raise UserError(
            "the gate's metrics must be defined for some validation clip in all "
            f"systems, got none for {table.metric}; correct the comparison "
            "file's gate"
        )


def is_void(results: ComparisonResults, rows: list) -> bool:
    """Tell whether the teacher misses the margin of a gate metric."""
    gate = results.comparison["gate"]
    return any(
        row.value < gate[row.metric]
        for row in rows
        if row.quantity == "gate_difference"
    )


def _untested(values, confidence):
    # That a score is not zero is no finding, and the gate asks for a margin.
    return replace(mean_over_seeds(values, confidence), p=None)


def _row(quantity, system, table, condition, estimate, seeds, p_holm=None):
    return Row(
        quantity, system, table.metric, condition, estimate.value, estimate.low,
        estimate.high, estimate.p, p_holm, seeds, len(table.clips),
    )  # fmt: skip
