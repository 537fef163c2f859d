"""From a recipe's command line to the settings of its experiments."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechbrain_dfkd import torchaudio_check  # noqa: F401

# isort: split
import speechbrain as sb
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError, hide_figure_warning
from speechbrain_dfkd.files import unwritable_is_user_error
from speechbrain_dfkd.settings.checks import check_run_options, check_values
from speechbrain_dfkd.settings.configuration import Configuration, compose
from speechbrain_dfkd.settings.keys import (
    DFKD_KEYS,
    FREE_OPTIONS,
    KEYS,
    SHARED_KEYS,
    TEACHER_KEYS,
)
from speechbrain_dfkd.settings.tree import parse_tree
from speechbrain_dfkd.settings.words import (
    asks_for_help,
    find_settings_file,
    help_text,
    split_command_line,
)
from speechbrain_dfkd.teacher.loading import described_teacher


@dataclass
class Command:
    """What a user asked a recipe script for."""

    configuration: Configuration
    run_opts: RunOptions
    layers: list[Path]  # files of settings between leaf and command line
    text: str  # for a shell

    def teacher(self) -> Configuration:
        """Return the settings of the teacher that a dfkd leaf asks for."""
        student = self.configuration
        leaf = student.leaf.parent / student.settings()["teacher_leaf"]
        shared = {key: student.tree[key] for key in SHARED_KEYS}
        own = student.tree["teacher_overrides"]
        teacher = _compose(leaf, self.layers, own, TEACHER_KEYS, shared)
        teacher, _ = _with_run_options(teacher, self.run_opts)
        return _with_folder(teacher, self.run_opts)


def read_command(
    argv: list[str],
    recipe_folder: Path,
    keys: set[str],
    script: str | None = None,
) -> Command:
    """Read and check a command line, whose leaf must have ``keys``."""
    script = script or f"train_{_kind(keys)}.py"
    if asks_for_help(argv):
        print(help_text(argv, recipe_folder, _kind(keys), script))
        raise SystemExit(0)
    name, run_opts, overrides = split_command_line(argv)
    leaf = find_settings_file(name, recipe_folder)
    sb.utils.distributed.ddp_init_group(run_opts)
    layers = [recipe_folder / f"{recipe_folder.name.lower()}.yaml"]
    configuration = _compose(leaf, layers, overrides, keys)
    is_demo = configuration.tree["data_folder"] is None
    if is_demo:
        layers.append(recipe_folder / "demo.yaml")
        configuration = _compose(leaf, layers, overrides, keys)
    configuration, run_opts = _with_run_options(configuration, run_opts)
    if if_main_process():
        command = f"python {recipe_folder / script} {name} --data_folder DIR"
        _print_start(configuration, command * is_demo)
    given = parse_tree(overrides, "the command line")
    is_chosen = any(str(key).split(".")[0] == "teacher" for key in given)
    network = described_teacher(configuration.settings(), is_chosen)
    if network is not None:
        configuration = configuration.replace(teacher=network)
    configuration = _with_folder(configuration, run_opts)
    text = command_text(recipe_folder / f"train_{_kind(keys)}.py", argv)
    return Command(configuration, run_opts, layers, text)


def command_text(script: Path, words: Sequence) -> str:
    """Return a command line for a shell in the current folder."""
    script = script.resolve()
    if script.is_relative_to(Path.cwd()):
        script = script.relative_to(Path.cwd())
    return shlex.join(["python", *map(str, (script, *words))])


# Set for a script that is to end with the process at its standard input.
ENDS_WITH_PARENT = "DFKD_ENDS_WITH_PARENT"


def _end_with_input() -> None:
    """Kill this process and its workers once standard input is closed."""
    # The holder of its other end has ended then, even by a kill. This process
    # leads a group of its own.
    while os.read(0, 1):
        pass
    os.killpg(os.getpid(), signal.SIGKILL)


def _kind(keys: set[str]) -> str:
    return "teacher" if keys == TEACHER_KEYS else "dfkd"


def _compose(
    leaf: Path,
    layers: list,
    overrides: str | Mapping,
    keys: set[str],
    replaced: Mapping | None = None,
) -> Configuration:
    configuration = compose(leaf, layers, overrides, DFKD_KEYS, replaced)
    missing = sorted(keys - set(configuration.tree))
    # A dfkd leaf has all that a teacher's needs, but trains something else.
    surplus = {"student"} & set(configuration.tree) - keys
    if missing or surplus:
        kind = _kind(keys)
        found = f"without {', '.join(missing)}" if missing else "a dfkd leaf"
        raise UserError(
            f"the settings file must be a {kind} leaf, got {leaf}, {found}; "
            f"start from hparams/dccrn_{kind}.yaml"
        )
    return configuration


def _with_run_options(
    configuration: Configuration, run_opts: RunOptions
) -> tuple[Configuration, RunOptions]:
    """Make settings of SpeechBrain's options that decide on results."""
    # They are recorded, and refused where a run goes on without them. A key of
    # the leaf, such as --max_grad_norm, holds for the student alone.
    given, tree = run_opts.overridden_args, configuration.tree
    moved = given & set(tree)
    values = {k: run_opts[k] for k in sorted(moved | given - FREE_OPTIONS)}
    configuration = configuration.replace(**values)
    run_opts = replace(run_opts, overridden_args=given - moved)
    settings = configuration.settings()
    check_values(settings)
    check_run_options(run_opts, settings)
    return configuration, run_opts


def _with_folder(
    configuration: Configuration, run_opts: RunOptions
) -> Configuration:
    """Name a run's folder after what is set: YAML has no conditions."""
    settings = configuration.settings()
    endings = ""
    for key, row in KEYS.items():
        default, name = row.run_name or (None, None)
        value = settings.get(key, default)
        if name and value != default:
            endings += f"-{name if value is True else f'{name}_{value}'}"
    if endings and "run" in settings:
        configuration = configuration.replace(run=settings["run"] + endings)
    if run_opts.debug:  # its few steps give no results of a training
        folder = Path(configuration.settings()["output_folder"], "debug")
        configuration = configuration.replace(output_folder=str(folder))
    return configuration


def _print_start(configuration: Configuration, demo_command: str) -> None:
    """Print where the settings come from; of a demo, what runs on real data."""
    if demo_command:
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
    sources = " < ".join(configuration.sources)
    print(f"Settings, later ones win: {sources}", flush=True)


def exit_code(run: Callable, argv: list[str], recipe_folder: str | Path) -> int:
    """Run a script's work; return 2 after a user's error, 130 after Ctrl-C."""
    hide_figure_warning()
    if os.environ.pop(ENDS_WITH_PARENT, None):
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        with unwritable_is_user_error():
            run(argv, Path(recipe_folder))
    except UserError as error:
        # A DataLoader puts a traceback before the error of its worker.
        name = f"{UserError.__module__}.{UserError.__qualname__}: "
        message = str(error).rpartition(name)[2]
        print(f"\nerror: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on.", file=sys.stderr)
        return 130
    return 0
