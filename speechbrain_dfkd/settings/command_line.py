"""From a recipe's command line to the settings of its experiments."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from speechbrain_dfkd import torchaudio_check  # noqa: F401

# isort: split
import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from speechbrain_dfkd.errors import UserError, hide_figure_warning
from speechbrain_dfkd.run_folder import adopt_run_options
from speechbrain_dfkd.settings.configuration import Configuration, compose
from speechbrain_dfkd.settings.help_text import asks_for_help, help_text
from speechbrain_dfkd.settings.keys import check_values
from speechbrain_dfkd.settings.run_options import check_run_options
from speechbrain_dfkd.settings.tree import parse_tree
from speechbrain_dfkd.settings.words import (
    find_settings_file,
    split_command_line,
)
from speechbrain_dfkd.teacher.loading import described_teacher

# The keys that the recipes read; any other must be referred to in the YAML.
TEACHER_KEYS = {
    "dataset", "data_folder", "results_folder", "prepared_folder",
    "output_folder", "train_annotation", "valid_annotation", "test_annotation",
    "skip_prep", "sample_rate", "seed", "segment_seconds", "batch_size",
    "num_workers", "number_of_epochs", "epoch_counter", "modules", "opt_class",
    "supervised_loss", "lr_annealing", "train_logger", "checkpointer",
    "save_enhanced", "best_metric", "align_polarity", "teacher",
}  # fmt: skip
DFKD_KEYS = TEACHER_KEYS | {
    "student", "kd", "clean_as_teacher", "kd_weight", "kd_ramp", "kd_stop", "kd_gradient_ratio",
    "kd_gradient_batches", "scale_teacher", "init_from_teacher",
    "teacher_ckpt", "teacher_leaf", "teacher_overrides", "teacher_cache",
    "teacher_cache_folder",
}  # fmt: skip
# What a dfkd leaf decides for the teacher that it trains.
SHARED_KEYS = [
    "dataset", "data_folder", "results_folder", "prepared_folder",
    "train_annotation", "valid_annotation", "test_annotation", "skip_prep",
    "sample_rate", "num_workers", "ckpt_interval_minutes", "teacher",
]  # fmt: skip
# Where one of these keys differs from its usual value, a run's name ends in
# what is beside it; YAML has no condition by which a leaf could do that.
_NAMED = {
    "clean_as_teacher": (False, "clean_as_teacher"),
    "teacher_cache": (False, "teacher_cache"),
    "kd_gradient_ratio": (None, "gradient_ratio"),
    "kd_ramp": (0, "ramp"),
    "kd_stop": (1, "stop"),
    "init_from_teacher": (False, "initialised"),
    "align_polarity": (True, "align_polarity"),
    "scale_teacher": (True, "scale_teacher"),
}


@dataclass
class Command:
    """What a user asked a recipe script for.

    Arguments
    ---------
    configuration : Configuration
        The settings of the leaf on the command line.
    run_opts : speechbrain.utils.run_opts.RunOptions
        The options that are SpeechBrain's own.
    layers : list of Path
        The files of settings between leaf and command line.
    """

    configuration: Configuration
    run_opts: object
    layers: list

    def teacher(self) -> Configuration:
        """Return the settings of the teacher that a dfkd leaf asks for."""
        student = self.configuration
        leaf = student.leaf.parent / student.settings()["teacher_leaf"]
        overrides = {key: student.tree[key] for key in SHARED_KEYS}
        overrides.update(student.tree["teacher_overrides"])
        teacher = _compose(leaf, self.layers, overrides, TEACHER_KEYS)
        adopt_run_options(teacher, self.run_opts)
        check_values(teacher.settings())
        check_run_options(self.run_opts, teacher.settings())
        _redirect_debug(teacher, self.run_opts)
        return teacher


def read_command(
    argv: list, recipe_folder: Path, keys: set, announce: bool = True
) -> Command:
    """Read a command line, check its settings, and announce the run.

    Arguments
    ---------
    argv : list of str
        The command line without the script's name.
    recipe_folder : Path
        Holds ``<dataset>.yaml`` and ``demo.yaml``.
    keys : set of str
        What the script's leaves must have: ``TEACHER_KEYS`` or ``DFKD_KEYS``.
    announce : bool
        False: print nothing.

    Raises
    ------
    UserError
        For anything in the settings that cannot be used.
    """
    if asks_for_help(argv):
        kind = "teacher" if keys == TEACHER_KEYS else "dfkd"
        script = f"train_{kind}.py"
        print(help_text(argv, recipe_folder, kind, DFKD_KEYS, script))
        raise SystemExit(0)
    leaf, run_opts, overrides = split_command_line(argv)
    leaf = find_settings_file(leaf, recipe_folder)
    sb.utils.distributed.ddp_init_group(run_opts)
    layers = [recipe_folder / f"{recipe_folder.name.lower()}.yaml"]
    configuration = _compose(leaf, layers, overrides, keys)
    is_demo = configuration.tree["data_folder"] is None
    if is_demo:
        layers.append(recipe_folder / "demo.yaml")
        configuration = _compose(leaf, layers, overrides, keys)
    adopt_run_options(configuration, run_opts)
    check_values(configuration.settings())
    check_run_options(run_opts, configuration.settings())
    announce = announce and if_main_process()
    if announce:
        script = recipe_folder / Path(sys.argv[0]).name
        files = takewhile(lambda word: word[0] != "-", sys.argv[1:])
        command = f"python {script} {' '.join(files)} --data_folder DIR"
        _print_start(configuration, command if is_demo else None)
    given = parse_tree(overrides, "the command line")
    is_chosen = "teacher" in {str(key).partition(".")[0] for key in given}
    network = described_teacher(configuration.settings(), is_chosen, announce)
    if network is not None:
        configuration.tree["teacher"] = network
    _name_after_settings(configuration)
    _redirect_debug(configuration, run_opts)
    return Command(configuration, run_opts, layers)


def _compose(leaf, layers, overrides, keys):
    configuration = compose(leaf, layers, overrides, DFKD_KEYS)
    missing = sorted(keys - set(configuration.tree))
    # A dfkd leaf has all that a teacher's needs, but trains something else.
    surplus = {"student"} & set(configuration.tree) - keys
    if missing or surplus:
        kind = "teacher" if keys == TEACHER_KEYS else "dfkd"
        found = f"without {', '.join(missing)}" if missing else "a dfkd leaf"
        raise UserError(
            f"the settings file must be a {kind} leaf, got {leaf}, {found}; "
            f"start from hparams/dccrn_{kind}.yaml"
        )
    return configuration


def _name_after_settings(configuration):
    settings = configuration.settings()
    if "run" not in settings:
        return
    for key, (usual, name) in _NAMED.items():
        value = settings.get(key, usual)
        if value != usual:
            suffix = name if value is True else f"{name}_{value}"
            settings["run"] += f"-{suffix}"
    configuration.tree["run"] = settings["run"]


def _print_start(
    configuration: Configuration, demo_command: str | None
) -> None:
    """Print the demo's banner and where the settings come from.

    ``demo_command`` runs on the real data set; None: this is no demo.
    """
    if demo_command is not None:
        name = configuration.tree["dataset"]["name"]
        lines = [
            "DEMO: no --data_folder was given, so this runs on a small corpus",
            "of synthetic speech and noise, made now, at demo scale. It shows",
            f"that everything works; its scores say nothing about {name}.",
            "",
            f"To run on {name}:",
            f"  {demo_command}",
        ]
        width = max(map(len, lines))
        rule = "=" * (width + 4)
        body = "\n".join(f"| {line.ljust(width)} |" for line in lines)
        print(f"{rule}\n{body}\n{rule}", flush=True)
    print(
        "Settings, later ones win: " + " < ".join(configuration.sources),
        flush=True,
    )


def _redirect_debug(configuration, run_opts):
    # SpeechBrain's --debug keeps no checkpoints; nor must its few steps leave
    # a teacher or results that look like those of a training.
    if run_opts.debug:
        folder = Path(configuration.settings()["output_folder"], "debug")
        configuration.tree["output_folder"] = str(folder)


def exit_code(run: Callable, argv: list, recipe_folder) -> int:
    """Run a script's work; show what its user can put right, no traceback.

    Arguments
    ---------
    run : callable
        Takes ``argv`` and the folder of the recipe.
    argv : list of str
        The command line without the script's name.
    recipe_folder : str or Path
        The folder of the script.

    Returns
    -------
    int
        0, 2 after an error of the user's, or 130 after an interruption.
    """
    hide_figure_warning()
    try:
        run(argv, Path(recipe_folder))
    except UserError as error:
        print(f"\nerror: {_message(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def _message(error: UserError) -> str:
    # A DataLoader hands on the error of its worker with a traceback in front.
    name = f"{UserError.__module__}.{UserError.__qualname__}: "
    return str(error).rpartition(name)[2]
