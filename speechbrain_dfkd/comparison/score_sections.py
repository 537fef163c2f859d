"""The sections of a comparison's report about scores."""

from collections.abc import Iterator

from speechbrain_dfkd.comparison import tables
from speechbrain_dfkd.comparison.analysis import METRICS
from speechbrain_dfkd.comparison.comparison_results import (
    SYSTEMS,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.score_table import score_table


def score_sections(
    results: ComparisonResults, index: tables.RowIndex
) -> Iterator[str]:
    """Yield Markdown about scores: paragraphs and tables.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    index : RowIndex
        The report's numbers.
    """
    yield from _mean_section(results, index)
    yield from _difference_section(results, index)
    yield from _snr_section(results, index)
    yield from _validation_section(results, index)
    yield from _gate_section(results, index)


def _percent(results):
    return f"{100 * results.comparison['confidence']:g} %"


def _mean_section(results, index):
    yield "## Test set"
    yield tables.mean_table(index, [*SYSTEMS, *results.arms])
    yield (
        f"Means over clips; of an arm, the mean over seeds and the "
        f"{_percent(results)} t interval of other seeds on these clips. One "
        "seed has no interval."
    )
    if len({tuple(sorted(results.seeds_of(arm))) for arm in results.arms}) > 1:
        yield (
            "Not all arms have the same seeds: compare them by the differences "
            "below, which are paired by seed."
        )
    left_out = [
        f"{table.undefined} for {tables.heading(metric)}"
        for metric in METRICS
        if (table := score_table(results, metric)).undefined
    ]
    if left_out:
        yield (
            "Clips left out of all systems, because the metric is undefined "
            f"for one of them: {', '.join(left_out)}."
        )


def _difference_section(results, index):
    baseline, *arms = results.arms
    yield f"## Difference to {baseline}"
    yield (
        f"Paired by seed, with {_percent(results)} intervals. *Other seeds*: "
        "the paired t test on the seeds' means, for these clips. *Other seeds "
        "and clips*: a bootstrap of both "
        f"({results.comparison['bootstrap_draws']} draws); it may be the "
        "narrower one where seeds are few and clips cause most of the spread, "
        "since these tell more surely how large it is. Holm's correction is "
        "over the arms of a table. All arms had one teacher: what another "
        "would give is in no interval."
    )
    for metric in METRICS:
        yield f"**{tables.heading(metric)}**"
        yield tables.difference_table(index, metric, arms)
    yield (
        f"![Differences to {baseline} with their intervals]"
        f"({results.report_name}.png)"
    )


def _snr_section(results, index):
    edges = results.comparison["snr_edges_db"]
    if index.all("snr_mean"):
        yield "## By SI-SDR of the noisy clip"
        yield (
            f"In parentheses the difference to {results.arms[0]}, paired by "
            f"seed, with its {_percent(results)} t interval, not corrected for "
            "the number of classes and arms."
        )
        for metric in METRICS:
            yield f"**{tables.heading(metric)}**"
            systems = [*SYSTEMS, *results.arms]
            yield tables.snr_table(index, metric, systems, edges)


def _validation_section(results, index):
    if index.all("valid_difference"):
        yield "## Validation set"
        yield (
            "What choices of arms and settings rest on. In parentheses the "
            f"difference to {results.arms[0]}, as above."
        )
        yield tables.validation_table(index, [*SYSTEMS, *results.arms])


def _gate_section(results, index):
    gate = results.comparison["gate"]
    if gate:
        yield "## The gate"
        yield (
            f"The teacher against {results.comparison['baseline']} (mean over "
            "seeds) on validation, with the interval of other seeds of the "
            "latter."
        )
        yield tables.gate_table(index, gate)
