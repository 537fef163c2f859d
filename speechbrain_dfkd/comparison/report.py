"""The report of a comparison: Markdown, CSV and a plot, from its files."""

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path

from speechbrain_dfkd.comparison import tables
from speechbrain_dfkd.comparison.analysis import (
    METRICS,
    Row,
    all_rows,
    is_void,
    setting_text,
)
from speechbrain_dfkd.comparison.comparison_results import (
    SPLITS,
    SYSTEMS,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.plot import as_png, difference_figure
from speechbrain_dfkd.comparison.score_table import score_table
from speechbrain_dfkd.comparison.statistics import choose_setting
from speechbrain_dfkd.files import write_atomically


def write_comparison_report(folder) -> str:
    """Write report.md, report.csv and report.png; return the first.

    Everything is computed from the files of the comparison's folder: see
    ``speechbrain_dfkd.comparison.comparison_results``. What is not finished is
    named, and the report of the rest is marked as incomplete. Where the teacher
    misses the margin of the gate, the report begins with VOID.

    Arguments
    ---------
    folder : str or Path
        The comparison's.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    UserError
        If a file is absent or damaged, the jobs do not belong together, or
        matplotlib is not installed.
    """
    results = ComparisonResults.load(folder)
    rows = all_rows(results)
    plot = as_png(difference_figure(results, rows))
    report = as_markdown(results, rows)
    folder = Path(folder)
    write_atomically(folder / "report.png", plot)
    write_atomically(folder / "report.csv", as_csv(rows).encode())
    write_atomically(folder / "report.md", report.encode())
    return report


def as_csv(rows: list) -> str:
    """Return the rows as CSV in full precision; None is an empty cell."""
    text = io.StringIO()
    columns = [column.name for column in fields(Row)]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()


def as_markdown(results: ComparisonResults, rows: list) -> str:
    """Return the report's text.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    rows : list of Row
        What ``all_rows`` makes of it.

    Returns
    -------
    str
    """
    index = tables.RowIndex(rows)
    parts = [
        *_banners(results, rows),
        f"# Comparison {results.comparison['name']}",
        *_mean_section(results, index),
        *_difference_section(results, index),
        *_snr_section(results, index),
        *_gate_section(results, index),
        *_tuning_section(results, index),
        *_time_section(results, index),
        *_data_section(results),
    ]
    return "\n\n".join(parts) + "\n"


def _banners(results, rows):
    if is_void(results, rows):
        yield (
            "**VOID: the teacher does not beat the baseline by the margin that "
            "the comparison asks for (see [The gate](#the-gate)). No clearly "
            "better teacher was there to learn from, so nothing below tells whether "
            "distillation helps.**"
        )
    missing = results.missing()
    if missing:
        yield (
            "**INCOMPLETE: run the comparison's command again, it goes on. "
            f"Missing: {'; '.join(missing)}.**"
        )


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
    yield "![Differences to the baseline with their intervals](report.png)"


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


def _gate_section(results, index):
    gate = results.comparison["gate"]
    if gate:
        yield "## The gate"
        yield (
            f"The teacher against {results.arms[0]} (mean over seeds) on "
            "validation, with the interval of other seeds of the latter."
        )
        yield tables.gate_table(index, gate)


def _tuning_section(results, index):
    if index.all("tuning_mean"):
        yield "## Tuning"
        yield (
            f"On validation, with seed {results.comparison['tuning_seed']}, "
            "which is not reported."
        )
        chosen = {arm: _reported_setting(results, arm) for arm in results.arms}
        yield tables.tuning_table(index, chosen)
        for arm in results.arms:
            yield from _warn_of_other_setting(results, arm, chosen[arm])


def _reported_setting(results, arm):
    jobs = list(results.reported(arm).values())
    return setting_text(jobs[0].setting) if jobs else None


def _warn_of_other_setting(results, arm, reported):
    jobs = results.tuning(arm)
    if jobs and reported is not None:
        best = choose_setting(jobs, results.comparison["tune_on"])
        if setting_text(best) != reported:
            yield (
                f"**{arm} was reported with {reported}, but {setting_text(best)} "
                "was best.**"
            )


def _time_section(results, index):
    yield "## Time of a training step"
    steps = {}
    for arm in results.arms:
        found = {job.steps for job in results.reported(arm).values()}
        steps[arm] = ", ".join(map(str, sorted(found))) or tables.NOTHING
    yield tables.time_table(index, results.arms, steps)
    yield (
        f"Medians over seeds; {results.comparison['side_by_side']} jobs side by "
        "side."
    )


def _data_section(results):
    plan = results.comparison
    clips = ", ".join(
        f"{len(next(iter(results.scored(split)), ('', {}))[1])} {split}"
        for split in SPLITS
    )
    seeds = ", ".join(map(str, plan["seeds"]))
    yield "## Data, arms and command"
    yield f"Clips: {clips}. Seeds: {seeds}."
    lines = [[arm, _overrides(plan["arms"][arm])] for arm in results.arms]
    yield tables.markdown_table(["arm", "what it changes"], lines)
    held = [[key, f"`{value}`"] for key, value in plan["settings"].items()]
    if held:
        yield tables.markdown_table(["held for all arms", "value"], held)
    yield f"```bash\n{plan['command']}\n```"


def _overrides(arm):
    return ", ".join(f"`{key}: {value}`" for key, value in arm.items())
