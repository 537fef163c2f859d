"""The report of a comparison."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Template

from speechbrain_dfkd.comparison.analysis import (
    METRICS,
    all_rows,
    heading,
    is_void,
    score_table,
    select,
    setting_text,
    snr_classes,
)
from speechbrain_dfkd.comparison.plot import as_png, difference_figure
from speechbrain_dfkd.comparison.results import (
    SPLITS,
    SYSTEMS,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.tuning import choose_setting
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.run_folder import COLUMNS

NOTHING = "-"
TEMPLATE = Path(__file__).with_name("report.md.j2")


def shown(value: float | None, text: Callable = str) -> str:
    """Return a value as ``text`` writes it, a dash for none."""
    return NOTHING if pd.isna(value) else text(value)


def number(metric: str, value: float | None, sign: bool = False) -> str:
    """Return a value rounded as the results table rounds the metric."""
    _, rounded = COLUMNS.get(metric, (metric, "{:.4g}".format))
    text = shown(value, rounded)
    return f"+{text}" if sign and not text.startswith("-") else text


def with_interval(row: tuple, sign: bool = False) -> str:
    """Return a row's value and interval, as ``2.264 [2.250, 2.278]``."""
    value = number(row.metric, row.value, sign)
    if pd.isna(row.low):
        return value
    low, high = (number(row.metric, end, sign) for end in (row.low, row.high))
    return f"{value} [{low}, {high}]"


def _with_difference(mean: tuple, difference: tuple) -> str:
    text = number(mean.metric, mean.value)
    if pd.isna(difference.value):
        return text
    return f"{text} ({with_interval(difference, True)})"


def p_value(p: float) -> str:
    """Return a p value with three decimals, or that it is smaller."""
    return "< 0.001" if p < 0.001 else shown(p, "{:.3f}".format)


def markdown_table(header: Sequence[str], lines: Iterable[Sequence]) -> str:
    """Return a table of GitHub's Markdown."""
    rows = ["| " + " | ".join(map(str, cells)) + " |" for cells in lines]
    rule = "|" + "---|" * len(header)
    return "\n".join(["| " + " | ".join(header) + " |", rule, *rows])


def mean_table(numbers: pd.DataFrame, systems: list) -> str:
    """Return the means of all systems and metrics on the test set."""
    columns = [[*select(numbers, "mean", systems, m)] for m in METRICS]
    lines = []
    for system, *rows in zip(systems, *columns, strict=True):
        seeds = [row.seeds for row in rows if not pd.isna(row.seeds)]
        texts = map(with_interval, rows)
        lines.append([system, *texts, max(seeds, default=NOTHING)])
    return markdown_table(["system", *map(heading, METRICS), "seeds"], lines)


def difference_table(numbers: pd.DataFrame, metric: str, arms: list) -> str:
    """Return one metric's differences to the first arm, by both methods."""
    methods = {
        "other seeds": "difference",
        "other seeds and clips": "difference_bootstrap",
    }
    columns = [select(numbers, of, arms, metric) for of in methods.values()]
    lines = []
    for arm, *rows in zip(arms, *columns, strict=True):
        cells = [arm]
        for row in rows:
            interval = with_interval(row, True)
            cells += [interval, p_value(row.p), p_value(row.p_holm)]
        lines.append([*cells, shown(rows[0].seeds)])
    header = [name for method in methods for name in (method, "p", "p, Holm")]
    return markdown_table(["arm", *header, "seeds"], lines)


def table_with_differences(
    numbers: pd.DataFrame, kind: str, systems: list, columns: dict
) -> str:
    """Return means, and in parentheses the differences to the first arm.

    The quantities begin with ``kind``; of ``{heading: (metric, condition)}``.
    """
    cells = [
        map(
            _with_difference,
            select(numbers, f"{kind}_mean", systems, *of),
            select(numbers, f"{kind}_difference", systems, *of),
        )
        for of in columns.values()
    ]
    lines = zip(systems, *cells, strict=True)
    return markdown_table(["system", *columns], lines)


def validation_table(numbers: pd.DataFrame, systems: list) -> str:
    """Return the means and differences on the validation set."""
    columns = {heading(metric): (metric, "") for metric in METRICS}
    return table_with_differences(numbers, "valid", systems, columns)


def snr_table(
    numbers: pd.DataFrame, metric: str, systems: list, edges: list
) -> str:
    """Return one metric by the class of the noisy clip; empty ones left out."""
    means = numbers[numbers.quantity == "snr_mean"]
    clips = means[means.metric == metric].groupby("condition").clips.first()
    columns = {
        f"{name}, {clips[name]} clips": (metric, name)
        for name in snr_classes(edges)
        if name in clips
    }
    return table_with_differences(numbers, "snr", systems, columns)


def gate_table(numbers: pd.DataFrame, gate: dict) -> str:
    """Return by how much the teacher leads, and by how much it has to."""
    lines = []
    for metric, margin in gate.items():
        key = ("gate_difference", ["teacher"], metric, f"at least {margin:+g}")
        row = next(select(numbers, *key))
        lead, least = with_interval(row, True), number(metric, margin, True)
        verdict = "yes" if row.value >= margin else "**no**"
        passed = NOTHING if pd.isna(row.value) else verdict
        lines.append([heading(metric), lead, least, passed])
    header = ["metric", "teacher minus baseline", "at least", "passed"]
    return markdown_table(header, lines)


def tuning_table(numbers: pd.DataFrame, chosen: dict) -> str:
    """Return each setting tried; ``chosen`` maps arms to their setting."""
    tried = numbers[numbers.quantity == "tuning_mean"]
    lines = [
        [
            row.system,
            row.condition,
            number(row.metric, row.value),
            "yes" if row.condition == chosen.get(row.system) else "",
        ]
        for row in tried.itertuples()
    ]
    header = ["arm", "setting", heading(tried.metric.iloc[0]), "chosen"]
    return markdown_table(header, lines)


def weight_table(numbers: pd.DataFrame, settings: dict) -> str:
    """Return each arm's weights; ``settings`` maps arms to their setting."""
    weights = numbers[numbers.quantity == "kd_weight"]
    lines = [
        [arm, settings[arm] or NOTHING, ", ".join(map("{:.3g}".format, of))]
        for arm, of in weights.groupby("system", sort=False).value
    ]
    header = ["arm", "setting", "kd_weight"]
    return markdown_table(header, lines)


def time_table(results: ComparisonResults, numbers: pd.DataFrame) -> str:
    """Return each arm's steps, the seconds of one, and their ratio."""
    arms, lines = results.arms, []
    seconds, ratios = (
        select(numbers, quantity, arms)
        for quantity in ("step_seconds", "step_ratio")
    )
    for arm, second, ratio in zip(arms, seconds, ratios, strict=True):
        steps = sorted({job.steps for job in results.reported(arm).values()})
        cells = [", ".join(map(str, steps)) or NOTHING]
        cells.append(shown(second.value, "{:.3f}".format))
        cells.append(shown(ratio.value, "{:.2f}".format))
        lines.append([arm, *cells])
    header = ["arm", "steps", "seconds a step", f"relative to {arms[0]}"]
    return markdown_table(header, lines)


TABLES = (
    mean_table,
    difference_table,
    snr_table,
    validation_table,
    gate_table,
    tuning_table,
    weight_table,
    time_table,
)


def write_comparison_report(folder: Path, against: str | None = None) -> str:
    """Write report.md, report.csv and report.png; return the first.

    With differences ``against`` an arm in place of the baseline, they are
    report-vs-ARM.md, .csv and .png; the gate stays as it is.
    """
    results = ComparisonResults.load(folder, against)
    numbers = all_rows(results)
    report = as_markdown(results, numbers)
    contents = {
        "png": as_png(difference_figure(results, numbers)),
        "csv": numbers.to_csv(index=False, lineterminator="\n").encode(),
        "md": report.encode(),
    }
    for suffix, content in contents.items():
        write_atomically(folder / f"{results.report_name}.{suffix}", content)
    return report


def as_markdown(results: ComparisonResults, numbers: pd.DataFrame) -> str:
    """Return the report's text, of the numbers that ``all_rows`` returned."""
    plan, arms = results.comparison, results.arms
    clips = {
        split: len(next(iter(results.scored(split)), ("", {}))[1])
        for split in SPLITS
    }
    undefined = {
        heading(metric): clips["test"] - score_table(results, metric).shape[1]
        for metric in METRICS
    }
    own_seeds = {arm: sorted(results.seeds_of(arm)) for arm in arms}
    every = sorted(plan["seeds"])
    template = Template(
        TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True
    )
    return template.render(
        {table.__name__: table for table in TABLES},
        results=results,
        numbers=numbers,
        quantities=set(numbers.quantity),
        plan=plan,
        arms=arms,
        systems=[*SYSTEMS, *arms],
        metrics=METRICS,
        heading=heading,
        percent=f"{100 * plan['confidence']:g} %",
        void=is_void(results, numbers),
        missing=results.missing(),
        clips=clips,
        own_seeds={k: v for k, v in own_seeds.items() if v != every},
        undefined=[f"{n} for {name}" for name, n in undefined.items() if n],
        **_settings(results),
    )


def _settings(results: ComparisonResults) -> dict:
    """Return with which setting each arm was reported, and if not the best."""
    settings, not_best = dict.fromkeys(results.arms), []
    for arm in results.arms:
        reported, tuned = results.reported(arm), results.tuning(arm)
        if reported:
            settings[arm] = setting_text(next(iter(reported.values())).setting)
        if reported and tuned:
            tune_on = results.comparison["tune_on"]
            best = setting_text(choose_setting(tuned, tune_on))
            if best != settings[arm]:
                not_best.append((arm, settings[arm], best))
    return {"settings": settings, "not_best": not_best}
