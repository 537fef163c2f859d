"""From scores to means, differences and their intervals."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from speechbrain_dfkd.comparison.results import SYSTEMS, ComparisonResults
from speechbrain_dfkd.comparison.statistics import (
    Estimate,
    bootstrap_mean,
    holm,
    mean_over_seeds,
    setting_means,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_folder import COLUMNS


@dataclass(frozen=True)
class ScoreTable:
    """One metric on the clips for which all systems have a score.

    Arguments
    ---------
    metric : str
        Its name.
    clips : list of str
        The utterances, U of them.
    scores : dict
        ``{system or arm: {seed: np.ndarray [U]}}``; a system that is trained
        once or not at all has the one seed None.
    undefined : int
        How many utterances are left out.
    """

    metric: str
    clips: list
    scores: dict
    undefined: int

    def only(self, chosen) -> "ScoreTable":
        """Return the table of the clips that ``chosen``, bool [U], marks."""
        scores = {
            system: {seed: values[chosen] for seed, values in of.items()}
            for system, of in self.scores.items()
        }
        marked = zip(self.clips, chosen, strict=True)
        clips = [clip for clip, keep in marked if keep]
        return ScoreTable(self.metric, clips, scores, self.undefined)

    def differences(self, arm: str, baseline: str):
        """Return the common seeds, and arm minus baseline [S, U]."""
        ours, theirs = self.scores.get(arm, {}), self.scores.get(baseline, {})
        seeds = [seed for seed in ours if seed in theirs]
        rows = [ours[seed] - theirs[seed] for seed in seeds]
        return seeds, np.array(rows).reshape(len(seeds), len(self.clips))


def score_table(
    results: ComparisonResults, metric: str, split: str = "test"
) -> ScoreTable:
    """Collect one metric's scores of all systems and arms.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    metric : str
        A clip for which it is undefined anywhere is left out everywhere.
    split : str
        "valid" or "test".

    Returns
    -------
    ScoreTable
    """
    found = {
        name: {None: results.systems[name][split]}
        for name in SYSTEMS
        if name in results.systems
    }
    for arm in results.arms:
        jobs = results.reported(arm)
        found[arm] = {seed: getattr(jobs[seed], split) for seed in jobs}
    everything = [scores for of in found.values() for scores in of.values()]
    everyone = list(everything[0]) if everything else []
    clips = [clip for clip in everyone if _has(everything, clip, metric)]
    values = {
        system: {
            seed: np.array([scores[clip][metric] for clip in clips], float)
            for seed, scores in of.items()
        }
        for system, of in found.items()
    }
    return ScoreTable(metric, clips, values, len(everyone) - len(clips))


def _has(everything, clip, metric):
    return all(scores[clip].get(metric) is not None for scores in everything)


@dataclass(frozen=True)
class Row:
    """One number of the report, and one line of its CSV file.

    Arguments
    ---------
    quantity : str
        What the number is: ``mean``, ``difference`` (to the results' first
        arm, paired by seed), ``difference_bootstrap``, ``difference_by_seed``,
        ``snr_mean``, ``snr_difference``, ``gate_difference`` (teacher minus the
        plan's baseline on validation), ``tuning_mean`` (on validation),
        ``kd_weight`` (as a job measured it), ``step_seconds`` or ``step_ratio``
        (to the first arm).
    system : str
        An arm, "noisy" or "teacher".
    metric : str
        Empty where the quantity has none.
    condition : str
        A class of clips, a seed, a setting or a margin.
    value, low, high, p, p_holm : float, optional
        The number, its interval, its p value, and that corrected over arms.
    seeds, clips : int, optional
        From how many.
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


class RowIndex:
    """Finds the rows of a report by what they are.

    Arguments
    ---------
    rows : list of Row
        See ``speechbrain_dfkd.comparison.analysis``.
    """

    def __init__(self, rows: list):
        self.rows = rows
        self._found = {
            (row.quantity, row.system, row.metric, row.condition): row
            for row in rows
        }

    def get(self, quantity, system, metric="", condition=""):
        """Return the row, or None where the report lacks it."""
        return self._found.get((quantity, system, metric, condition))

    def all(self, quantity, system=None):
        """Return the rows of a quantity, of one system or all."""
        return [
            row
            for row in self.rows
            if row.quantity == quantity and system in (None, row.system)
        ]


def heading(metric: str) -> str:
    """Return a metric's name with its unit; its key if it has no other."""
    return COLUMNS[metric][0] if metric in COLUMNS else metric
