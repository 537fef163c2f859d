"""The report of a comparison."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from speechbrain_dfkd.comparison.analysis import (
    METRICS,
    Row,
    RowIndex,
    all_rows,
    heading,
    is_void,
    score_table,
    setting_text,
    snr_classes,
)
from speechbrain_dfkd.comparison.plot import as_png, difference_figure
from speechbrain_dfkd.comparison.results import (
    SPLITS,
    SYSTEMS,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.statistics import choose_setting
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.run_folder import COLUMNS

NOTHING = "-"


def number(metric: str, value, sign: bool = False) -> str:
    """Return a value rounded as the results table rounds the metric.

    Example
    -------
    >>> number("pesq_wb", 0.12345, sign=True), number("si_sdr", -1.0)
    ('+0.123', '-1.00')
    """
    if value is None:
        return NOTHING
    text = COLUMNS[metric][1](value) if metric in COLUMNS else f"{value:.4g}"
    return f"+{text}" if sign and not text.startswith("-") else text


def with_interval(row, sign: bool = False) -> str:
    """Return a row's value and interval, as ``2.264 [2.250, 2.278]``."""
    if row is None:
        return NOTHING
    value = number(row.metric, row.value, sign)
    if row.low is None:
        return value
    low, high = (number(row.metric, end, sign) for end in (row.low, row.high))
    return f"{value} [{low}, {high}]"


def p_value(p) -> str:
    """Return a p value with three decimals, or that it is smaller."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def markdown_table(header: list, lines: list) -> str:
    """Return a table of GitHub's Markdown.

    Example
    -------
    >>> print(markdown_table(["arm", "p"], [["dfkd", 0.5]]))
    | arm | p |
    |---|---|
    | dfkd | 0.5 |
    """
    rows = ["| " + " | ".join(map(str, cells)) + " |" for cells in lines]
    rule = "|" + "---|" * len(header)
    return "\n".join(["| " + " | ".join(header) + " |", rule, *rows])


def mean_table(index: RowIndex, systems: list) -> str:
    """Return the means of all systems and metrics on the test set."""
    lines = []
    for system in systems:
        rows = [index.get("mean", system, metric) for metric in METRICS]
        seeds = max((row.seeds or 0 for row in rows if row), default=0)
        lines.append(
            [system, *map(with_interval, rows), seeds if seeds else NOTHING]
        )
    header = ["system", *map(heading, METRICS), "seeds"]
    return markdown_table(header, lines)


def difference_table(index: RowIndex, metric: str, arms: list) -> str:
    """Return one metric's differences to the first arm, by both methods."""
    lines = []
    for arm in arms:
        paired = index.get("difference", arm, metric)
        crossed = index.get("difference_bootstrap", arm, metric)
        cells = [arm]
        for row in (paired, crossed):
            p, p_holm = (row.p, row.p_holm) if row else (None, None)
            cells += [with_interval(row, True), p_value(p), p_value(p_holm)]
        lines.append([*cells, paired.seeds if paired else NOTHING])
    methods = ("other seeds", "other seeds and clips")
    header = [
        name for method in methods for name in (method, "p", "p, Holm")
    ]  # fmt: skip
    return markdown_table(["arm", *header, "seeds"], lines)


def snr_table(index: RowIndex, metric: str, systems: list, edges: list) -> str:
    """Return one metric by the class of the noisy clip; empty ones left out."""
    clips = {
        row.condition: row.clips
        for row in index.all("snr_mean")
        if row.metric == metric
    }
    classes = [name for name in snr_classes(edges) if name in clips]
    lines = []
    for system in systems:
        cells = [system]
        for name in classes:
            mean = index.get("snr_mean", system, metric, name)
            gain = index.get("snr_difference", system, metric, name)
            cells.append(_with_difference(mean, gain))
        lines.append(cells)
    header = [f"{name}, {clips[name]} clips" for name in classes]
    return markdown_table(["system", *header], lines)


def validation_table(index: RowIndex, systems: list) -> str:
    """Return the means on validation with the differences to the first arm."""
    lines = []
    for system in systems:
        cells = [
            _with_difference(
                index.get("valid_mean", system, metric),
                index.get("valid_difference", system, metric),
            )
            for metric in METRICS
        ]
        lines.append([system, *cells])
    return markdown_table(["system", *map(heading, METRICS)], lines)


def _with_difference(mean, difference):
    if mean is None:
        return NOTHING
    text = number(mean.metric, mean.value)
    if difference is None:
        return text
    return f"{text} ({with_interval(difference, True)})"


def gate_table(index: RowIndex, gate: dict) -> str:
    """Return by how much the teacher leads, and by how much it has to."""
    found = {row.metric: row for row in index.all("gate_difference")}
    lines = []
    for metric, margin in gate.items():
        row = found.get(metric)
        verdict = NOTHING
        if row:
            verdict = "yes" if row.value >= margin else "**no**"
        least = number(metric, margin, True)
        lines.append(
            [heading(metric), with_interval(row, True), least, verdict]
        )
    header = ["metric", "teacher minus baseline", "at least", "passed"]
    return markdown_table(header, lines)


def tuning_table(index: RowIndex, chosen: dict) -> str:
    """Return each setting tried; ``chosen`` maps arms to their setting."""
    lines = [
        [
            row.system,
            row.condition,
            number(row.metric, row.value),
            "yes" if row.condition == chosen.get(row.system) else "",
        ]
        for row in index.all("tuning_mean")
    ]
    metric = index.all("tuning_mean")[0].metric
    return markdown_table(["arm", "setting", heading(metric), "chosen"], lines)


def weight_table(index: RowIndex, settings: dict) -> str:
    """Return each arm's weights; ``settings`` maps arms to their setting."""
    lines = []
    for arm, setting in settings.items():
        weights = [f"{row.value:.3g}" for row in index.all("kd_weight", arm)]
        if weights:
            lines.append([arm, setting or NOTHING, ", ".join(weights)])
    return markdown_table(["arm", "setting", "kd_weight"], lines)


def time_table(index: RowIndex, arms: list, steps: dict) -> str:
    """Return steps (``{arm: text}``), seconds a step, and the ratio."""
    lines = []
    for arm in arms:
        seconds = index.get("step_seconds", arm)
        ratio = index.get("step_ratio", arm)
        lines.append(
            [
                arm,
                steps[arm],
                f"{seconds.value:.3f}" if seconds else NOTHING,
                f"{ratio.value:.2f}" if ratio else NOTHING,
            ]
        )
    header = ["arm", "steps", "seconds a step", f"relative to {arms[0]}"]
    return markdown_table(header, lines)


def score_sections(
    results: ComparisonResults, index: RowIndex
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
    yield mean_table(index, [*SYSTEMS, *results.arms])
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
        f"{table.undefined} for {heading(metric)}"
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
        yield f"**{heading(metric)}**"
        yield difference_table(index, metric, arms)
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
            yield f"**{heading(metric)}**"
            systems = [*SYSTEMS, *results.arms]
            yield snr_table(index, metric, systems, edges)


def _validation_section(results, index):
    if index.all("valid_difference"):
        yield "## Validation set"
        yield (
            "What choices of arms and settings rest on. In parentheses the "
            f"difference to {results.arms[0]}, as above."
        )
        yield validation_table(index, [*SYSTEMS, *results.arms])


def _gate_section(results, index):
    gate = results.comparison["gate"]
    if gate:
        yield "## The gate"
        yield (
            f"The teacher against {results.comparison['baseline']} (mean over "
            "seeds) on validation, with the interval of other seeds of the "
            "latter."
        )
        yield gate_table(index, gate)


def training_sections(
    results: ComparisonResults, index: RowIndex
) -> Iterator[str]:
    """Yield Markdown about tuning, weights, time, data and settings.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    index : RowIndex
        The report's numbers.
    """
    yield from _tuning_section(results, index)
    yield from _weight_section(results, index)
    yield from _time_section(results, index)
    yield from _data_section(results)


def _tuning_section(results, index):
    if index.all("tuning_mean"):
        yield "## Tuning"
        yield (
            f"On validation, with seed {results.comparison['tuning_seed']}, "
            "which is not reported."
        )
        only = [arm for arm in results.all_arms if arm not in results.arms]
        if only:
            yield f"From that seed only, and not tested: {', '.join(only)}."
        chosen = {arm: _reported_setting(results, arm) for arm in results.arms}
        yield tuning_table(index, chosen)
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


def _weight_section(results, index):
    if index.all("kd_weight"):
        yield "## Measured weight of distillation"
        yield (
            "The kd_weight at which gradients have the ratio asked for, at the "
            "student's first weights; one for each seed."
        )
        settings = {
            arm: _reported_setting(results, arm) for arm in results.arms
        }
        yield weight_table(index, settings)


def _time_section(results, index):
    yield "## Time of a training step"
    steps = {}
    for arm in results.arms:
        found = {job.steps for job in results.reported(arm).values()}
        steps[arm] = ", ".join(map(str, sorted(found))) or NOTHING
    yield time_table(index, results.arms, steps)
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
    yield "## Data, arms and command"
    yield f"Clips: {clips}. Seeds: {_seeds_text(results)}."
    lines = [[arm, _overrides(plan["arms"][arm])] for arm in results.all_arms]
    yield markdown_table(["arm", "what it changes"], lines)
    held = [[key, f"`{value}`"] for key, value in plan["settings"].items()]
    if held:
        yield markdown_table(["held for all arms", "value"], held)
    yield f"```bash\n{plan['command']}\n```"


def _seeds_text(results):
    """Return all seeds, then those of each arm that does not have them all."""
    everyone = results.comparison["seeds"]
    texts = [", ".join(map(str, everyone))]
    for arm in results.arms:
        own = sorted(results.seeds_of(arm))
        if own != sorted(everyone):
            texts.append(f"{arm} only {', '.join(map(str, own))}")
    return "; ".join(texts)


def _overrides(arm):
    return ", ".join(f"`{key}: {value}`" for key, value in arm.items())


def write_comparison_report(folder, against: str | None = None) -> str:
    """Write report.md, report.csv and report.png; return the first.

    Everything is computed from the files of the comparison's folder: see
    ``speechbrain_dfkd.comparison.results``. What is not finished is
    named, and the report of the rest is marked as incomplete. Where the teacher
    misses the margin of the gate, the report begins with VOID.

    Arguments
    ---------
    folder : str or Path
        The comparison's.
    against : str, optional
        An arm to which the differences are, in place of the baseline. The files
        are then report-vs-ARM.md, .csv and .png. The gate stays as it is.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    UserError
        If there is no such arm, a file is absent or damaged, the jobs do not
        belong together, or matplotlib is not installed.
    """
    results = ComparisonResults.load(folder, against)
    rows = all_rows(results)
    plot = as_png(difference_figure(results, rows))
    report = as_markdown(results, rows)
    contents = {"png": plot, "csv": as_csv(rows).encode()}
    for suffix, content in {**contents, "md": report.encode()}.items():
        name = f"{results.report_name}.{suffix}"
        write_atomically(Path(folder, name), content)
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
    index = RowIndex(rows)
    parts = [
        *_banners(results, rows),
        _title(results),
        *score_sections(results, index),
        *training_sections(results, index),
    ]
    return "\n\n".join(parts) + "\n"


def _title(results):
    against = f", against {results.against}" if results.against else ""
    return f"# Comparison {results.comparison['name']}{against}"


def _banners(results, rows):
    if is_void(results, rows):
        yield (
            "**VOID: the teacher does not beat the baseline "
            f"{results.comparison['baseline']} by the margin that the comparison "
            "asks for (see [The gate](#the-gate)). No clearly "
            "better teacher was there to learn from, so nothing below tells whether "
            "distillation helps.**"
        )
    missing = results.missing()
    if missing:
        yield (
            "**INCOMPLETE: run the comparison's command again, it goes on. "
            f"Missing: {'; '.join(missing)}.**"
        )
