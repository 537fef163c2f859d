"""What a run's folder records, and that a resume shares it."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.data.manifest import (
    is_mixture_manifest,
    open_tables,
    read_manifest,
    write_json,
)
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.metrics import METRICS, validation_metrics
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings.configuration import Configuration
from speechbrain_dfkd.settings.keys import FREE_OPTIONS, MAY_CHANGE
from speechbrain_dfkd.settings.tree import read_tree
from speechbrain_dfkd.teacher.trained_network import EXPORT, WEIGHTS

SETTINGS_FILE = "settings.json"
EPOCHS_FILE = "number_of_epochs.txt"

# A run without one of these in its settings had SpeechBrain's default.
_DEFAULTS = {
    key: value
    for key, value in RunOptions().as_dict().items()
    if key not in FREE_OPTIONS
}


def decisive_settings(configuration: Configuration) -> dict:
    """Return the settings that a resume must share, as JSON gives them."""
    settings = configuration.settings()
    kept = {k: v for k, v in settings.items() if k not in MAY_CHANGE}
    return json.loads(json.dumps(kept))


def keep_settings(folder: str | Path, configuration: Configuration) -> None:
    """Note the settings that a resume must share, once they are found good."""
    write_json(Path(folder, SETTINGS_FILE), decisive_settings(configuration))


def refuse_other_settings(
    folder: str | Path, configuration: Configuration
) -> None:
    """Keep a resume from mixing two experiments in one folder."""
    before = _kept(folder, SETTINGS_FILE)
    if before is None:
        return
    now = decisive_settings(configuration)
    if changes := differing(before, now, MAY_CHANGE):
        raise UserError(
            f"output_folder must hold one experiment, got {folder}, which "
            f"holds a run with other settings:\n{listing(changes)}\n"
            f"choose another --output_folder, or delete that one"
        )


def differing(before: dict, now: dict, may_change: set[str]) -> list[str]:
    """Return a line for each setting that differs, nested ones by "a.b"."""
    before, now = _DEFAULTS | _flat(before), _DEFAULTS | _flat(now)
    return [
        f"{key}: {before.get(key)} there, {now.get(key)} now"
        for key in sorted((before.keys() | now.keys()) - may_change)
        if before.get(key) != now.get(key)
    ]


def _flat(settings: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


DATA_FILE = "data.json"
SPLITS = ("train", "valid")


def keep_data(folder: str | Path, settings: Mapping) -> None:
    """Note the recordings that a run is trained and validated on."""
    write_json(Path(folder, DATA_FILE), _contents(settings))


def refuse_other_data(folder: str | Path, settings: Mapping) -> None:
    """Keep a run, or a teacher that was found, from being of other data."""
    before = _kept(folder, DATA_FILE)
    if before is None:
        return
    now = _contents(settings)
    if changed := [key for key in SPLITS if before.get(key) != now[key]]:
        raise UserError(
            f"output_folder must hold one experiment, got {folder}, which "
            f"holds a run with other recordings in {' and '.join(changed)}; "
            f"choose another --results_folder or --output_folder, or delete "
            f"that one"
        )


# Where recordings lie does not matter; mixed ones count by their lengths.
def _contents(settings: Mapping) -> dict[str, str]:
    return {name: _hash(settings[f"{name}_annotation"]) for name in SPLITS}


def _hash(manifest: str | Path) -> str:
    if is_mixture_manifest(manifest):
        content = {
            name: sorted(wav.frames for wav in table) if table else None
            for name, table in open_tables(manifest).items()
        }
    else:
        entries = read_manifest(manifest).items()
        content = sorted((name, entry["length"]) for name, entry in entries)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _kept(folder: str | Path, name: str) -> dict | None:
    path = Path(folder, name)
    return json.loads(path.read_bytes()) if path.exists() else None


def keep_epochs(folder: str | Path, settings: Mapping) -> None:
    """Note for how many epochs the exported network was trained."""
    # Checkpoints tell: it may have been trained for longer than is asked.
    epochs = []
    for meta in Path(settings["save_folder"]).glob("CKPT+*/CKPT.yaml"):
        counter = meta.with_name("epoch_counter.ckpt")
        if counter.exists() and read_tree(meta).get("end-of-epoch", True):
            epochs.append(int(counter.read_text()))
    last = max(epochs, default=settings["number_of_epochs"])
    write_atomically(Path(folder, EXPORT, EPOCHS_FILE), f"{last}\n".encode())


def trained_epochs(folder: str | Path) -> int | None:
    """Return the epochs noted; 0: nothing was exported, None: nothing tells."""
    if not Path(folder, EXPORT, WEIGHTS).is_file():
        return 0
    path = Path(folder, EXPORT, EPOCHS_FILE)
    return int(path.read_text()) if path.exists() else None


RESULTS_FILE = "results.json"
MEASURED_WITH = ("pesq", "pystoi", "numpy", "torch", "speechbrain")
DEFINITIONS = {
    "test_set": "the test set, where the data have several",
    **{name: metric.definition for name, metric in METRICS.items()},
    "parameters": "all parameters of the network, trainable or not",
    "gmacs_per_second": "10^9 multiply-accumulates for a second of audio at "
    "batch 1, without element-wise operations and FFTs",
    "utterances": "number of utterances",
    "undefined": "number of values without definition (silence, for example), "
    "which the means leave out",
}


def write_report(
    folder: str | Path, rows: Iterable[Mapping], **record: Any
) -> str:
    """Write rows of ``COLUMNS`` and ``record``; return the rows as a table."""
    rows = [
        dict.fromkeys(COLUMNS) | {k: v for k, v in row.items() if v == v}
        for row in rows
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = {
        "rows": rows,
        "definitions": DEFINITIONS,
        "versions": {name: version(name) for name in MEASURED_WITH},
        **record,
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(folder, "results.csv"), table.getvalue().encode())
    write_atomically(Path(folder, RESULTS_FILE), text.encode())
    return _as_table(rows)


def _count(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f}{unit}"
    return str(value)


# The columns in their order: (heading with unit, how the table rounds).
COLUMNS = {
    "system": ("system", str),
    "test_set": ("test set", str),
    **{
        name: (metric.heading, f"{{:.{metric.decimals}f}}".format)
        for name, metric in METRICS.items()
    },
    "parameters": ("params", _count),
    "gmacs_per_second": ("GMAC/s", lambda n: f"{float(f'{n:.3g}'):g}"),
    "utterances": ("clips", str),
    "undefined": ("undefined", str),
}
# Not in the table of a run that has none, only in its files.
_OPTIONAL = {"test_set", *(METRICS.keys() - validation_metrics().keys())}


def _as_table(rows: list[dict]) -> str:
    columns = []
    for name, (heading, text_of) in COLUMNS.items():
        values = [row[name] for row in rows]
        if name not in _OPTIONAL or any(values):
            cells = ["-" if v is None else text_of(v) for v in values]
            width = max(map(len, [heading, *cells]))
            align = str.rjust if columns else str.ljust
            columns.append([align(cell, width) for cell in (heading, *cells)])
    return "\n".join(map("  ".join, zip(*columns, strict=True)))
