"""The report of a comparison: Markdown, CSV and a plot, from its files."""

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path

from speechbrain_dfkd.comparison.analysis import all_rows, is_void
from speechbrain_dfkd.comparison.comparison_results import ComparisonResults
from speechbrain_dfkd.comparison.plot import as_png, difference_figure
from speechbrain_dfkd.comparison.report_row import Row
from speechbrain_dfkd.comparison.score_sections import score_sections
from speechbrain_dfkd.comparison.tables import RowIndex
from speechbrain_dfkd.comparison.training_sections import training_sections
from speechbrain_dfkd.files import write_atomically


def write_comparison_report(folder, against: str | None = None) -> str:
    """Write report.md, report.csv and report.png; return the first.

    Everything is computed from the files of the comparison's folder: see
    ``speechbrain_dfkd.comparison.comparison_results``. What is not finished is
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
