"""The results of a run: a CSV and a JSON file, and a table for the terminal."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from speechbrain_dfkd.files import write_atomically

DEFINITIONS = {
    "test_set": "the test set, where the data have several",
    "pesq_wb": "mean wide-band PESQ (ITU-T P.862.2, MOS-LQO), package pesq",
    "pesq_nb": "mean narrow-band PESQ (ITU-T P.862.1, MOS-LQO), of the signals "
    "at 16 kHz, package pesq",
    "stoi": "mean STOI (Taal et al., 2011; not extended), package pystoi",
    "si_sdr": "mean SI-SDR in dB (Le Roux et al., 2019), means removed",
    "gain_db": "mean level of the clean speech within the output, in dB "
    "relative to clean: 20 log10 |<output, clean>| / <clean, clean>",
    "correlation": "mean cosine between the output and clean, from -1 to 1; "
    "below 0 the output is the negative of the speech",
    "parameters": "all parameters of the network, trainable or not",
    "gmacs_per_second": "10^9 multiply-accumulates for a second of audio at "
    "batch 1, without element-wise operations and FFTs",
    "utterances": "number of utterances",
    "undefined": "number of values without definition (silence, for example), "
    "which the means leave out",
}


def write_report(folder, rows: Iterable[Mapping]) -> str:
    """Write results.csv and results.json, and return them as a table.

    The files hold full precision, and results.json also the definition of each
    column. What does not apply to a system is None: a dash in the table.

    Arguments
    ---------
    folder : str or Path
        Made if it is not there.
    rows : iterable of mapping
        One for each system, with the key ``system`` and any of the keys of
        ``DEFINITIONS``; ``Scores.summary()`` gives most of them.

    Returns
    -------
    str
        The table, without a newline at its end.

    Raises
    ------
    ValueError
        If a row has a key that is no column, or no system, or is infinite.
    """
    rows = [_checked(row) for row in rows]
    folder = Path(folder)
    files = {"results.csv": _as_csv(rows), "results.json": _as_json(rows)}
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return _as_table(rows)


def _score(decimals):
    return lambda value: f"{value:.{decimals}f}"


def _count(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f}{unit}"
    return str(value)


def _significant(value):
    return f"{float(f'{value:.3g}'):g}"


# The columns in their order: (heading with unit, how the table rounds).
COLUMNS = {
    "system": ("system", str),
    "test_set": ("test set", str),
    "pesq_wb": ("PESQ-WB", _score(3)),
    "pesq_nb": ("PESQ-NB", _score(3)),
    "stoi": ("STOI", _score(4)),
    "si_sdr": ("SI-SDR [dB]", _score(2)),
    "gain_db": ("gain [dB]", _score(2)),
    "correlation": ("corr.", _score(3)),
    "parameters": ("params", _count),
    "gmacs_per_second": ("GMAC/s", _significant),
    "utterances": ("clips", str),
    "undefined": ("undefined", str),
}
# Not in the table of a run that has none, only in its files.
_OPTIONAL = ("test_set", "pesq_nb")


def _checked(row):
    unknown = set(row) - set(COLUMNS)
    if unknown or "system" not in row:
        raise ValueError(
            f"a row must have a system and keys of {list(COLUMNS)}, "
            f"got {list(row)}; correct the row"
        )
    return {column: _none_if_nan(row.get(column)) for column in COLUMNS}


def _none_if_nan(value):
    return None if value != value else value


def _as_csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _as_json(rows):
    content = {
        "rows": rows,
        "definitions": DEFINITIONS,
        "versions": {name: version(name) for name in ("pesq", "pystoi")},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _as_table(rows):
    shown = [
        column
        for column in COLUMNS
        if column not in _OPTIONAL or any(row[column] for row in rows)
    ]
    lines = [[COLUMNS[column][0] for column in shown]]
    lines += [[_cell(column, row[column]) for column in shown] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _cell(column, value):
    return "-" if value is None else COLUMNS[column][1](value)


def _aligned(line, widths):
    name, *numbers = line
    first, *others = widths
    return "  ".join([name.ljust(first), *map(str.rjust, numbers, others)])
