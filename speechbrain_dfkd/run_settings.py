"""Checks a run's settings, and keeps a folder to one experiment."""

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

# What may change between a run and its resume: places, and how much is done.
_MAY_CHANGE = {
    "data_folder", "results_folder", "prepared_folder", "output_folder",
    "save_folder", "train_annotation", "valid_annotation", "test_annotation",
    "train_log", "train_logger", "checkpointer", "skip_prep",
    "number_of_epochs", "epoch_counter", "num_workers", "save_enhanced",
    "ckpt_interval_minutes", "teacher_ckpt", "teacher_leaf",
    "teacher_overrides", "experiment", "run",
}  # fmt: skip

# A constraint in words, and whether a number keeps it.
_ABOVE_0 = ("a number above 0", lambda value: value > 0)
_AT_LEAST_0 = ("a number at least 0", lambda value: value >= 0)
_SHARE = ("a number from 0 to 1", lambda value: 0 <= value <= 1)
_SHARE_ABOVE_0 = ("a number above 0 up to 1", lambda value: 0 < value <= 1)
_INTEGER_AT_LEAST_0 = (
    "an integer at least 0",
    lambda value: isinstance(value, int) and value >= 0,
)
_INTEGER_AT_LEAST_1 = (
    "an integer at least 1",
    lambda value: isinstance(value, int) and value >= 1,
)
_NUMBERS = {
    "kd_weight": _AT_LEAST_0,
    "kd_ramp": _SHARE,
    "kd_stop": _SHARE_ABOVE_0,
    "kd_gradient_ratio": _ABOVE_0,
    "kd_gradient_batches": _INTEGER_AT_LEAST_1,
    "number_of_epochs": _INTEGER_AT_LEAST_1,
    "batch_size": _INTEGER_AT_LEAST_1,
    "segment_seconds": _ABOVE_0,
    "lr": _ABOVE_0,
    "weight_decay": _AT_LEAST_0,
    # SpeechBrain takes a negative norm for "no clipping", but ascends then.
    "max_grad_norm": _ABOVE_0,
    "ckpt_interval_minutes": _AT_LEAST_0,
    "num_workers": _INTEGER_AT_LEAST_0,
}
_MAY_BE_NULL = {"kd_gradient_ratio"}
# YAML reads "no" and "off" as text, which would count as True.
_FLAGS = {"clean_as_teacher", "init_from_teacher", "save_enhanced", "skip_prep"}


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


def check_values(settings: dict) -> None:
    """Raise a UserError for a number out of range or a flag that is none.

    Arguments
    ---------
    settings : dict
        Resolved settings; keys that are not there are not checked.
    """
    for key, (constraint, keeps) in _NUMBERS.items():
        if key not in settings:
            continue
        value = settings[key]
        if value is None and key in _MAY_BE_NULL:
            continue
        if _is_number(value) and keeps(value):
            continue
        raise UserError(
            f"{key} must be {constraint}, got {value!r}; "
            f"pass --{key} with another value"
        )
    if settings.get("kd_ramp", 0) > settings.get("kd_stop", 1):
        raise UserError(
            f"kd_ramp must be at most kd_stop, got {settings['kd_ramp']} above "
            f"{settings['kd_stop']}, so that kd_weight is never reached; "
            f"pass --kd_ramp or --kd_stop with another share"
        )
    for key in sorted(_FLAGS & settings.keys()):
        if not isinstance(settings[key], bool):
            raise UserError(
                f"{key} must be True or False, got {settings[key]!r}; "
                f"pass --{key} with one of them"
            )
    if settings["sample_rate"] != 16000:
        raise UserError(
            f"sample_rate must be 16000 Hz, for which the networks and "
            f"wide-band PESQ are defined, got {settings['sample_rate']}; data "
            f"of higher rates are resampled by the preparation"
        )


def _is_number(value):
    # True is an integer to Python, and nan keeps no order.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == value


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
    changes = differing(before, decisive_settings(configuration))
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


def differing(before: dict, now: dict) -> list:
    """Return a line for each setting that differs.

    Example
    -------
    >>> differing({"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1})
    ['lr: 0.1 there, 0.2 now']
    """
    return [
        f"{key}: {before.get(key)} there, {now.get(key)} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
