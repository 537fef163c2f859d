"""What a run's folder records, and that a resume shares it."""

import csv
import hashlib
import io
import json
import pydoc
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.data.mixtures import is_mixture_manifest, open_tables
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings.configuration import Configuration
from speechbrain_dfkd.settings.tree import parse_tree, read_tree
from speechbrain_dfkd.teacher.asteroid import is_asteroid, read_asteroid
from speechbrain_dfkd.teacher.frozen import find_teacher_checkpoint
from speechbrain_dfkd.teacher.trained_network import (
    EXPORT,
    WEIGHTS,
    read_checkpoint,
)

SETTINGS_FILE = "settings.json"
EPOCHS_FILE = "number_of_epochs.txt"

# A training that ended for too many unreadable files, or steps that were not
# finite, goes on with a larger one.
TOLERATED = {"dataset.max_unreadable_share", "nonfinite_patience"}
# What may change between a run and its resume: places, and how much is done.
_MAY_CHANGE = TOLERATED | {
    "data_folder", "results_folder", "prepared_folder", "output_folder",
    "save_folder", "train_annotation", "valid_annotation", "test_annotation",
    "train_log", "train_logger", "tensorboard", "checkpointer", "skip_prep",
    "number_of_epochs", "epoch_counter", "num_workers", "save_enhanced",
    "ckpt_interval_minutes", "teacher_ckpt", "teacher_leaf",
    "teacher_overrides", "teacher_cache_folder", "experiment", "run",
    "lr_annealing.epoch_counter.limit",
}  # fmt: skip


# Of SpeechBrain's options, those that say where, how much, and what is shown.
# All others decide on the results.
FREE_OPTIONS = {
    "test_only", "debug", "debug_batches", "debug_epochs",
    "debug_persistently", "log_config", "device", "data_parallel_backend",
    "data_parallel_count", "distributed_backend", "distributed_launch",
    "find_unused_parameters", "noprogressbar", "ckpt_interval_minutes",
    "ckpt_interval_steps", "tqdm_colored_bar", "tqdm_barcolor",
    "profile_training", "profile_warmup", "profile_steps", "param_file",
    "overridden_args",
}  # fmt: skip
# A run without one of these in its settings had SpeechBrain's own value.
_USUAL = {
    key: value
    for key, value in RunOptions().as_dict().items()
    if key not in FREE_OPTIONS
}


def adopt_run_options(configuration: Configuration, run_opts) -> None:
    """Make settings of those options of SpeechBrain's that decide on results.

    The command line's ``--precision`` is to be recorded like any key of the
    leaf, and to be refused where a run goes on without it. One that is a key
    of the leaf, such as ``--max_grad_norm``, also holds for the student alone.

    Arguments
    ---------
    configuration : Configuration
        Receives the values.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Gives them up.
    """
    tree = configuration.tree
    for key in sorted(run_opts.overridden_args - FREE_OPTIONS):
        if key in tree:
            run_opts.overridden_args.remove(key)
        tree[key] = run_opts[key]
    for key in run_opts.overridden_args & FREE_OPTIONS & set(tree):
        tree[key] = run_opts[key]
        run_opts.overridden_args.remove(key)


def adopt_asteroid_teacher(
    configuration: Configuration, announce: bool = True
) -> None:
    """Let an Asteroid checkpoint say which network the teacher is.

    Such a file describes its network, so that the setting ``teacher`` gives
    way to it. Any other file is left to ``load_teacher``, and none is looked
    at where no teacher is needed.

    Arguments
    ---------
    configuration : Configuration
        Of a dfkd leaf; of another, nothing happens.
    announce : bool
        Whether to print which network it is.

    Raises
    ------
    UserError
        Where the file cannot be read, or its network is none of ours.
    """
    settings = configuration.settings()
    if not (_looks_at_teacher(settings) and settings["teacher_ckpt"]):
        return
    path = find_teacher_checkpoint(settings["teacher_ckpt"])
    content = read_checkpoint(path)
    if not is_asteroid(content):
        return
    network = read_asteroid(content, path)
    configuration.tree["teacher"] = parse_tree(network.text(), str(path))
    if announce:
        replaced = settings["teacher"]["name"]
        print(
            f"Teacher: {network.name}, Asteroid's {content['model_name']}, as "
            f"{path} describes it, in place of the setting teacher ({replaced})",
            flush=True,
        )


def _looks_at_teacher(settings):
    # As needs_teacher() tells it of the objects.
    if settings.get("init_from_teacher"):
        return True
    if not settings.get("kd_weight") or settings["clean_as_teacher"]:
        return False
    loss = settings["kd"]["loss"]
    tag = loss["tag"] if isinstance(loss, dict) else loss
    objective = pydoc.locate(tag.partition(":")[2].strip())
    return getattr(objective, "needs_teacher", True)


def refuse_other_settings(folder, configuration: Configuration) -> None:
    """Keep a resume from mixing two experiments in one folder.

    Arguments
    ---------
    folder : str or Path
        The run's output folder.
    configuration : Configuration
        Its settings.

    Raises
    ------
    UserError
        Where the folder holds a run with other settings; it names them.
    """
    path = Path(folder, SETTINGS_FILE)
    if not path.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    now = decisive_settings(configuration)
    changes = differing(before, now, _MAY_CHANGE)
    if changes:
        raise UserError(
            f"output_folder must hold one experiment, got {folder}, which "
            f"holds a run with other settings:\n{listing(changes)}\n"
            f"choose another --output_folder, or delete that one"
        )


def keep_settings(folder, configuration: Configuration) -> None:
    """Write the settings that a resume must share to ``settings.json``.

    Only a run whose settings and data were found good calls this, so that
    what it was refused for can be put right in the same folder.

    Arguments
    ---------
    folder : str or Path
        The run's output folder.
    configuration : Configuration
        Its settings.
    """
    path = Path(folder, SETTINGS_FILE)
    text = json.dumps(decisive_settings(configuration), indent=1)
    write_atomically(path, text.encode())


def keep_epochs(folder, configuration: Configuration) -> None:
    """Note for how many epochs the exported network was trained.

    Arguments
    ---------
    folder : str or Path
        The run's output folder.
    configuration : Configuration
        Its settings; its checkpoints tell, which may be of a longer training.
    """
    settings = configuration.settings()
    epochs = _finished_epochs(settings["save_folder"])
    epochs = epochs or settings["number_of_epochs"]
    path = Path(folder, EXPORT, EPOCHS_FILE)
    write_atomically(path, f"{epochs}\n".encode())


def trained_epochs(folder) -> int | None:
    """Return for how many epochs a folder's exported network was trained.

    Arguments
    ---------
    folder : str or Path
        A run's output folder.

    Returns
    -------
    int or None
        0 where no network was exported, None where nothing tells.
    """
    folder = Path(folder)
    if not (folder / EXPORT / WEIGHTS).is_file():
        return 0
    path = folder / EXPORT / EPOCHS_FILE
    if path.exists():
        return int(path.read_text())
    # A run of before this was noted ended with its last checkpoint.
    return _finished_epochs(folder / "save") or None


def _finished_epochs(save_folder):
    """Return the number of the last epoch that has a checkpoint of its end."""
    epochs = [0]
    for meta in Path(save_folder).glob("CKPT+*/CKPT.yaml"):
        counter = meta.with_name("epoch_counter.ckpt")
        if counter.exists() and read_tree(meta).get("end-of-epoch", True):
            epochs.append(int(counter.read_text()))
    return max(epochs)


def decisive_settings(configuration: Configuration) -> dict:
    """Return the settings that a resume must share, as JSON gives them."""
    settings = configuration.settings()
    kept = {k: v for k, v in settings.items() if k not in _MAY_CHANGE}
    return json.loads(json.dumps(kept))


def differing(before: dict, now: dict, may_change: set) -> list:
    """Return a line for each setting that differs.

    Arguments
    ---------
    before, now : dict
        Settings, perhaps nested.
    may_change : set of str
        What is not looked at; a nested setting is written ``"a.b"``.

    Example
    -------
    >>> before = {"kd": {"share": 0.1}, "seed": 1}
    >>> differing(before, {"kd": {}, "seed": 2}, may_change={"seed"})
    ['kd.share: 0.1 there, None now']
    """
    before, now = _USUAL | _flat(before), _USUAL | _flat(now)
    return [
        f"{key}: {before.get(key)} there, {now.get(key)} now"
        for key in sorted((before.keys() | now.keys()) - may_change)
        if before.get(key) != now.get(key)
    ]


def _flat(settings, prefix=""):
    """Return {"a.b": value} of {"a": {"b": value}}."""
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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

    A row has the key ``system`` and any of ``DEFINITIONS``. The files hold full
    precision, and results.json also the definition of each column. What does
    not apply to a system is None: a dash in the table.
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
