"""From scores to means, differences and their intervals."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from speechbrain_dfkd.comparison.results import SYSTEMS, ComparisonResults
from speechbrain_dfkd.comparison.statistics import (
    bootstrap_mean,
    clip_means,
    clip_scores,
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
    rows = [row for m in METRICS for row in _score_rows(results, m)]
    rows += gate_rows(results)
    rows += _tuning_rows(results)
    rows += _weight_rows(results)
    rows += _time_rows(results)
    table = as_table(rows)
    tested = table[table.quantity.isin(["difference", "difference_bootstrap"])]
    by_metric = tested.groupby(["quantity", "metric"])
    table["p_holm"] = by_metric.p.transform(holm)
    return table


def _score_rows(results: ComparisonResults, metric: str) -> Iterator[Row]:
    test = _Scores(results, score_table(results, metric))
    yield from test.means("mean")
    for arm, found in test.pairs():
        for seed, mean in clip_means(found).items():
            condition = f"seed {seed}"
            yield test.row("difference_by_seed", arm, [mean], condition)
    yield from test.differences("difference")
    for arm, found in test.pairs():
        crossed = bootstrap_mean(
            np.ascontiguousarray(found),
            results.comparison["confidence"],
            results.comparison["bootstrap_draws"],
        )
        row = test.row("difference_bootstrap", arm, clip_means(found))
        yield row._replace(**crossed._asdict())
    yield from test.by_snr()
    # Arms, settings, and epochs within a training are chosen on these clips:
    # they cannot show that a choice was right.
    valid = _Scores(results, score_table(results, metric, "valid"))
    yield from valid.means("valid_mean")
    yield from valid.differences("valid_difference")


def score_table(
    results: ComparisonResults, metric: str, split: str = "test"
) -> pd.DataFrame:
    """Return the ``clip_scores`` of each system (and seed of an arm).

    The columns' name is the metric's.

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
    table = clip_scores(found.values(), metric).rename_axis(columns=metric)
    table.index = pd.MultiIndex.from_tuples(found, names=["system", "seed"])
    return table


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


def snr_classes(edges: list) -> list:
    """Return the names of the classes that ascending edges in dB make."""
    inner = [f"{low} to {high} dB" for low, high in pairwise(edges)]
    return [f"below {edges[0]} dB", *inner, f"from {edges[-1]} dB"]


@dataclass
class _Scores:
    """A ``score_table``, or some of its clips, and the rows made from it."""

    results: ComparisonResults
    table: pd.DataFrame

    def row(
        self, quantity: str, system: str, means: Sequence, condition: str = ""
    ) -> Row:
        """Return a mean over seeds of means over these clips."""
        estimate = mean_over_seeds(means, self.results.comparison["confidence"])
        metric, clips = self.table.columns.name, self.table.shape[1]
        row = Row(quantity, system, metric, condition, clips=clips)
        return row._replace(seeds=len(means), **estimate._asdict())

    def means(self, quantity: str, condition: str = "") -> Iterator[Row]:
        """Yield each system's mean; that it is not 0 is no finding."""
        if self.table.shape[1]:
            by_system = clip_means(self.table).groupby("system", sort=False)
            for system, means in by_system:
                row = self.row(quantity, system, means, condition)
                seeds = None if system in SYSTEMS else row.seeds
                yield row._replace(p=None, seeds=seeds)

    def pairs(self) -> Iterator[tuple]:
        """Yield (arm, differences to the first) where these share a seed."""
        baseline, *arms = self.results.arms
        for arm in arms if self.table.shape[1] else ():
            found = differences(self.table, arm, baseline)
            if len(found):
                yield arm, found

    def differences(self, quantity: str, condition: str = "") -> Iterator[Row]:
        """Yield the arms' differences to the first, with t intervals."""
        for arm, found in self.pairs():
            yield self.row(quantity, arm, clip_means(found), condition)

    def by_snr(self) -> Iterator[Row]:
        """Yield means and differences by the noisy clip's SI-SDR.

        A class holds its lower edge and not its upper one. A clip whose input
        has no SI-SDR (silence, for example) is in none.
        """
        edges = self.results.comparison["snr_edges_db"]
        if not edges or "noisy" not in self.results.systems:
            return
        noisy = self.results.systems["noisy"]["test"]
        # None becomes NaN, which digitize takes for the largest.
        snrs = np.array(
            [noisy[clip].get("si_sdr") for clip in self.table], float
        )
        known, of_clip = ~np.isnan(snrs), np.digitize(snrs, edges)
        for index, name in enumerate(snr_classes(edges)):
            part = self.table.loc[:, known & (of_clip == index)]
            part = _Scores(self.results, part)
            yield from part.means("snr_mean", name)
            yield from part.differences("snr_difference", name)


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
        # That it leads is no finding: the gate asks for a margin.
        key = "gate_difference", "teacher", leads, f"at least {margin:+g}"
        yield _Scores(results, table).row(*key)._replace(p=None)


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


def _tuning_rows(results: ComparisonResults) -> Iterator[Row]:
    """Yield the mean validation score of each setting that was tried."""
    metric = results.comparison["tune_on"]
    for arm in results.all_arms:
        jobs = results.tuning(arm)
        for setting, mean in setting_means(jobs, metric) if jobs else ():
            text = setting_text(setting)
            yield Row("tuning_mean", arm, metric, text, mean, seeds=1)


def _weight_rows(results: ComparisonResults) -> Iterator[Row]:
    """Yield the kd_weight of each reported job that measured one."""
    for arm in results.arms:
        for seed, job in results.reported(arm).items():
            if job.kd_weight is not None:
                condition, weight = f"seed {seed}", job.kd_weight
                yield Row("kd_weight", arm, "", condition, weight, seeds=1)


def _time_rows(results: ComparisonResults) -> Iterator[Row]:
    """Yield the time of a step, and its ratio to the first arm's.

    Both are medians over seeds. The ratio is taken within a seed: its jobs see
    the same data in the same order.
    """
    arms, seeds = results.arms, results.comparison["seeds"]
    seconds = pd.DataFrame(index=seeds, columns=arms, dtype=float)
    for arm in arms:
        for seed, job in results.reported(arm).items():
            seconds.loc[seed, arm] = job.seconds_per_step
    ratios = seconds.div(seconds[arms[0]], axis=0)
    both = {"step_seconds": seconds, "step_ratio": ratios}
    for arm in arms:
        for quantity, times in both.items():
            own = times[arm].dropna()
            if len(own):
                yield Row(quantity, arm, value=own.median(), seeds=len(own))
