"""What data a run was trained on, and that a resume shares them."""

import hashlib
import json
from pathlib import Path

from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.data.mixture_source import (
    is_mixture_manifest,
    open_tables,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import write_atomically

DATA_FILE = "data.json"
SPLITS = ("train", "valid")


def keep_data(folder, settings: dict) -> None:
    """Note what a run is trained and validated on.

    Arguments
    ---------
    folder : str or Path
        The run's output folder.
    settings : dict
        Names the manifests, ``train_annotation`` and ``valid_annotation``.
    """
    text = json.dumps(_contents(settings), indent=1)
    write_atomically(Path(folder, DATA_FILE), text.encode())


def refuse_other_data(folder, settings: dict) -> None:
    """Keep a run, or a teacher that was found, from being of other data.

    Recordings count by their names and lengths, those that are mixed while
    training by their number and lengths; where they lie does not matter.

    Arguments
    ---------
    folder : str or Path
        The run's output folder; one in which nothing was noted is not refused.
    settings : dict
        As for ``keep_data``.

    Raises
    ------
    UserError
        Where a run in the folder was trained on something else.
    """
    path = Path(folder, DATA_FILE)
    if not path.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    now = _contents(settings)
    changed = [split for split in SPLITS if before.get(split) != now[split]]
    if changed:
        raise UserError(
            f"output_folder must hold one experiment, got {folder}, which "
            f"holds a run with other recordings in {' and '.join(changed)}; "
            f"choose another --results_folder or --output_folder, or delete "
            f"that one"
        )


def _contents(settings):
    return {name: _hash(settings[f"{name}_annotation"]) for name in SPLITS}


def _hash(manifest):
    if is_mixture_manifest(manifest):
        content = {
            name: sorted(wav.frames for wav in table) if table else None
            for name, table in open_tables(manifest).items()
        }
    else:
        entries = read_manifest(manifest).items()
        content = sorted((name, entry["length"]) for name, entry in entries)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
