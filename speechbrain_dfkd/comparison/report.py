"""The report of a comparison."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass
class Tables:
    """The tables of a report, of the numbers that ``all_rows`` returned."""

    results: ComparisonResults
    numbers: pd.DataFrame

    @property
    def _systems(self) -> list:
        return [*SYSTEMS, *self.results.arms]

    def means(self) -> str:
        """Return the means of all systems and metrics on the test set."""
        systems, lines = self._systems, []
        columns = [select(self.numbers, "mean", systems, m) for m in METRICS]
        for system, *rows in zip(systems, *columns, strict=True):
            seeds = [row.seeds for row in rows if not pd.isna(row.seeds)]
            texts = map(with_interval, rows)
            lines.append([system, *texts, max(seeds, default=NOTHING)])
        header = ["system", *map(heading, METRICS), "seeds"]
        return markdown_table(header, lines)

    def differences(self, metric: str) -> str:
        """Return one metric's differences to the first arm, by both methods."""
        methods = {
            "other seeds": "difference",
            "other seeds and clips": "difference_bootstrap",
        }
        arms, lines = self.results.arms[1:], []
        columns = [
            select(self.numbers, quantity, arms, metric)
            for quantity in methods.values()
        ]
        for arm, *rows in zip(arms, *columns, strict=True):
            cells = [arm]
            for row in rows:
                interval = with_interval(row, True)
                cells += [interval, p_value(row.p), p_value(row.p_holm)]
            lines.append([*cells, shown(rows[0].seeds)])
        header = [name for way in methods for name in (way, "p", "p, Holm")]
        return markdown_table(["arm", *header, "seeds"], lines)

    def by_snr(self, metric: str) -> str:
        """Return one metric by the class of the noisy clip; no empty ones."""
        means = self.numbers[self.numbers.quantity == "snr_mean"]
        means = means[means.metric == metric]
        clips = means.groupby("condition", sort=False).clips.first()
        columns = {
            f"{condition}, {count} clips": (metric, condition)
            for condition, count in clips.items()
        }
        return self._with_differences("snr", columns)

    def validation(self) -> str:
        """Return all metrics on the validation set."""
        columns = {heading(metric): (metric, "") for metric in METRICS}
        return self._with_differences("valid", columns)

    def _with_differences(self, kind: str, columns: dict) -> str:
        """Return means, and in parentheses the differences to the first arm.

        The quantities begin with ``kind``; of ``{heading: (metric, condition)}``.
        """
        systems, numbers = self._systems, self.numbers
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

    def gate(self) -> str:
        """Return by how much the teacher leads, and by how much it has to."""
        lines = []
        for metric, margin in self.results.comparison["gate"].items():
            key = (["teacher"], metric, f"at least {margin:+g}")
            row = next(select(self.numbers, "gate_difference", *key))
            lead, least = with_interval(row, True), number(metric, margin, True)
            verdict = "yes" if row.value >= margin else "**no**"
            passed = NOTHING if pd.isna(row.value) else verdict
            lines.append([heading(metric), lead, least, passed])
        header = ["metric", "teacher minus baseline", "at least", "passed"]
        return markdown_table(header, lines)

    def settings(self) -> dict:
        """Return ``{arm: setting}`` with which the arms were reported."""
        found = {arm: self.results.reported(arm) for arm in self.results.arms}
        return {
            arm: setting_text(next(iter(jobs.values())).setting)
            for arm, jobs in found.items()
            if jobs
        }

    def not_best(self) -> Iterator[tuple]:
        """Yield arm, setting and best setting where these differ."""
        for arm, setting in self.settings().items():
            tune_on = self.results.comparison["tune_on"]
            if tuned := self.results.tuning(arm):
                best = setting_text(choose_setting(tuned, tune_on))
                if best != setting:
                    yield arm, setting, best

    def tuning(self) -> str:
        """Return each setting that was tried."""
        numbers, settings = self.numbers, self.settings()
        tried = numbers[numbers.quantity == "tuning_mean"]
        lines = []
        for row in tried.itertuples():
            chosen = row.condition == settings.get(row.system)
            mean, mark = number(row.metric, row.value), "yes" * chosen
            lines.append([row.system, row.condition, mean, mark])
        header = ["arm", "setting", heading(tried.metric.iloc[0]), "chosen"]
        return markdown_table(header, lines)

    def weights(self) -> str:
        """Return each arm's measured weights of distillation."""
        weights = self.numbers[self.numbers.quantity == "kd_weight"]
        settings, lines = self.settings(), []
        for arm, values in weights.groupby("system", sort=False).value:
            texts = map("{:.3g}".format, values)
            lines.append([arm, settings[arm] or NOTHING, ", ".join(texts)])
        return markdown_table(["arm", "setting", "kd_weight"], lines)

    def times(self) -> str:
        """Return each arm's steps, the seconds of one, and their ratio."""
        arms, lines = self.results.arms, []
        seconds = select(self.numbers, "step_seconds", arms)
        ratios = select(self.numbers, "step_ratio", arms)
        for arm, second, ratio in zip(arms, seconds, ratios, strict=True):
            jobs = self.results.reported(arm).values()
            steps = ", ".join(map(str, sorted({job.steps for job in jobs})))
            cells = [steps or NOTHING, shown(second.value, "{:.3f}".format)]
            lines.append([arm, *cells, shown(ratio.value, "{:.2f}".format)])
        header = ["arm", "steps", "seconds a step", f"relative to {arms[0]}"]
        return markdown_table(header, lines)


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
    every = sorted(plan["seeds"])
    own_seeds = {arm: sorted(results.seeds_of(arm)) for arm in arms}
    template = Template(
        TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True
    )
    return template.render(
        tables=Tables(results, numbers),
        results=results,
        quantities=set(numbers.quantity),
        plan=plan,
        arms=arms,
        metrics=METRICS,
        heading=heading,
        percent=f"{100 * plan['confidence']:g} %",
        void=is_void(results, numbers),
        clips=clips,
        undefined={name: n for name, n in undefined.items() if n},
        own_seeds={arm: of for arm, of in own_seeds.items() if of != every},
    )
