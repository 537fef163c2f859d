"""What a run's settings are, and that a resume shares them."""

import json
import pydoc
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.asteroid_checkpoint import is_asteroid, read_asteroid
from speechbrain_dfkd.checkpoint_file import read_checkpoint
from speechbrain_dfkd.configuration import Configuration
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.inference.export import EXPORT, WEIGHTS
from speechbrain_dfkd.settings_tree import parse_tree, read_tree
from speechbrain_dfkd.teacher import find_teacher_checkpoint

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
