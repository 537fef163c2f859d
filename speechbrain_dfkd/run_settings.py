"""What a run's settings are, and that a resume shares them."""

import json
from pathlib import Path

from speechbrain_dfkd.asteroid_checkpoint import is_asteroid, read_asteroid
from speechbrain_dfkd.checkpoint_file import read_checkpoint
from speechbrain_dfkd.configuration import Configuration
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings_tree import parse_tree
from speechbrain_dfkd.teacher import find_teacher_checkpoint

SETTINGS_FILE = "settings.json"

# A training that ended for too many unreadable files, or steps that were not
# finite, goes on with a larger one.
TOLERATED = {"dataset.max_unreadable_share", "nonfinite_patience"}
# What may change between a run and its resume: places, and how much is done.
_MAY_CHANGE = TOLERATED | {
    "data_folder", "results_folder", "prepared_folder", "output_folder",
    "save_folder", "train_annotation", "valid_annotation", "test_annotation",
    "train_log", "train_logger", "checkpointer", "skip_prep",
    "number_of_epochs", "epoch_counter", "num_workers", "save_enhanced",
    "ckpt_interval_minutes", "teacher_ckpt", "teacher_leaf",
    "teacher_overrides", "teacher_cache_folder", "experiment", "run",
    "lr_annealing.epoch_counter.limit",
}  # fmt: skip


def adopt_run_options(configuration: Configuration, run_opts) -> None:
    """Make a leaf's own value of an option that SpeechBrain took for itself.

    The command line's ``--max_grad_norm`` is an option of SpeechBrain and a
    key of the leaves. It is to be checked and recorded like any other key,
    and to hold for the student alone.

    Arguments
    ---------
    configuration : Configuration
        Receives the values.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Gives them up.
    """
    for key in run_opts.overridden_args & set(configuration.tree):
        configuration.tree[key] = run_opts[key]
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
    wanted = settings.get("kd_weight") or settings.get("init_from_teacher")
    if not (wanted and settings["teacher_ckpt"]):
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
    before, now = _flat(before), _flat(now)
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
