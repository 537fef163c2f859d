"""The Markdown tables of a comparison's report."""

from speechbrain_dfkd.comparison.analysis import METRICS, snr_classes
from speechbrain_dfkd.evaluation.report import COLUMNS

NOTHING = "-"


class RowIndex:
    """Finds the rows of a report by what they are.

    Arguments
    ---------
    rows : list of Row
        See ``speechbrain_dfkd.comparison.report_row``.
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
