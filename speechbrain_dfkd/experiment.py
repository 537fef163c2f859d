"""What the recipe scripts run, from the command line to the results table."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from speechbrain_dfkd import torchaudio_check  # noqa: F401

# isort: split
import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import (
    ddp_barrier,
    if_main_process,
    run_on_main,
)
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.data.dataset import (
    loader_options,
    lost_workers_are_user_errors,
    open_splits,
    prepare_splits,
    require_shared_memory,
)
from speechbrain_dfkd.errors import UserError, show_errors
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.folder_lock import (
    empty_folder,
    hold_folder,
    hold_if_writable,
)
from speechbrain_dfkd.run_folder import (
    keep_data,
    keep_epochs,
    keep_settings,
    refuse_other_data,
    refuse_other_settings,
    trained_epochs,
    write_report,
)
from speechbrain_dfkd.settings.checks import check_objects
from speechbrain_dfkd.settings.command_line import (
    Command,
    exit_code,
    read_command,
)
from speechbrain_dfkd.settings.configuration import Configuration
from speechbrain_dfkd.settings.keys import DFKD_KEYS, TEACHER_KEYS
from speechbrain_dfkd.teacher.cache import check_cache, choose_teacher
from speechbrain_dfkd.teacher.frozen import (
    check_objective,
    fingerprint,
    teacher_roles,
)
from speechbrain_dfkd.teacher.loading import load_teacher
from speechbrain_dfkd.teacher.trained_network import (
    EXPORT,
    WEIGHTS,
    export_enhancer,
    require_finite,
)
from speechbrain_dfkd.training.dfkd_brain import DFKDBrain
from speechbrain_dfkd.training.enhancement_brain import EnhancementBrain
from speechbrain_dfkd.training.student_start import start_from_teacher
from speechbrain_dfkd.training.systems import SystemTester, Unprocessed


def train_teacher(argv: list[str], recipe_folder: str | Path) -> int:
    """Train and test a teacher as ``argv`` says; return the exit code.

    The recipe's folder has ``<dataset>.yaml`` and ``demo.yaml``.
    """
    return exit_code(_train_teacher, argv, recipe_folder)


def train_dfkd(argv: list[str], recipe_folder: str | Path) -> int:
    """Distil and test a student; its teacher is trained first if need be."""
    return exit_code(_train_dfkd, argv, recipe_folder)


def _train_teacher(argv, recipe_folder):
    command = read_command(argv, recipe_folder, TEACHER_KEYS)
    configuration, run_opts = command.configuration, command.run_opts
    with hold_run(configuration, run_opts):
        hparams = _build(configuration)
        prepare_splits(hparams)
        _teach(configuration, run_opts)


def _train_dfkd(argv, recipe_folder):
    command = read_command(argv, recipe_folder, DFKD_KEYS)
    configuration, run_opts = command.configuration, command.run_opts
    with hold_run(configuration, run_opts):
        get_ready(command)
        configuration = command.configuration  # it names the teacher now
        if "student" in configuration.settings()["score_systems"]:
            hparams, datasets, brain = distil(command)
            teacher = getattr(brain.teacher, "model", None)
            systems = {} if teacher is None else {"teacher": teacher}
            systems["student"] = hparams["student"]["model"]
        else:
            hparams, brain = configuration.build(), None
            datasets = open_splits(hparams)
            teacher = load_teacher(hparams, configuration.settings())
            systems = {"teacher": teacher}
        _finish(
            configuration, hparams, run_opts, datasets, systems, brain,
            command.text,
        )  # fmt: skip


@contextmanager
def hold_run(
    configuration: Configuration,
    run_opts: RunOptions,
    hold: Callable = hold_folder,
) -> Iterator[None]:
    """Keep a run's folder from other commands; of --debug, leave nothing."""
    folder = configuration.settings()["output_folder"]
    with hold(folder):
        if run_opts.debug and not run_opts.debug_persistently:
            run_on_main(empty_folder, args=[folder])
        yield


def get_ready(command: Command) -> None:
    """Check a dfkd leaf, prepare its data, and train the teacher it needs.

    The command receives its weights as ``teacher_ckpt``. What cannot be used
    is refused before anything trains, the quickest to find first.
    """
    configuration, run_opts = command.configuration, command.run_opts
    hparams = configuration.build()
    check_leaf(hparams)
    teaches = bool(teacher_roles(hparams))
    if teaches and hparams["teacher_ckpt"]:
        load_teacher(hparams, configuration.settings())
    _refuse_folder_of_others(configuration)
    teacher = None
    if teaches and not hparams["teacher_ckpt"]:
        teacher = command.teacher()
        with _about_the_teacher(teacher):
            _build(teacher)
    prepare_splits(hparams)
    datasets = open_splits(hparams)
    check_cache(hparams, datasets["train"])
    require_shared_memory(hparams, datasets)
    if teacher:
        with hold_run(teacher, run_opts, hold_if_writable):
            weights = _find_or_teach(teacher, run_opts)
        command.configuration = configuration.replace(teacher_ckpt=str(weights))


def check_leaf(hparams: dict) -> None:
    """Refuse objects of a dfkd leaf that do not fit together."""
    check_objects(hparams)
    check_objective(hparams)
    check_cache(hparams)
    start_from_teacher(hparams)


def _refuse_folder_of_others(configuration):
    folder = configuration.settings()["output_folder"]
    run_on_main(refuse_other_settings, args=[folder, configuration])


def _build(configuration):
    """Return a leaf's objects, checked, for a folder that is not another's."""
    hparams = configuration.build()
    check_objects(hparams)
    _refuse_folder_of_others(configuration)
    return hparams


def _find_or_teach(configuration, run_opts) -> Path:
    """Return the weights of a teacher, trained unless it was before."""
    settings = configuration.settings()
    folder = Path(settings["output_folder"])
    asked, trained = settings["number_of_epochs"], trained_epochs(folder)
    weights = folder / EXPORT / WEIGHTS
    with _about_the_teacher(configuration):
        run_on_main(refuse_other_data, args=[folder, settings])
    if trained is None or trained >= asked:
        longer = f", trained for {trained} epochs where {asked} are asked for"
        longer *= trained not in (None, asked)
        print(f"Teacher found: {folder}{longer}", flush=True)
        return weights
    found = "not found; training it into"
    if trained:
        found = f"found, trained for {trained} of {asked} epochs; going on in"
    print(f"Teacher {found} {folder}", flush=True)
    with _about_the_teacher(configuration):
        _teach(configuration, run_opts)
    return weights


@contextmanager
def _about_the_teacher(configuration):
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{error}\nThis is about the teacher, trained by "
            f"{configuration.leaf}; what it is to do otherwise goes into "
            f"--teacher_overrides, e.g. '{{segment_seconds: 2.0}}'"
        ) from error


def _start(configuration, run_opts):
    """Return objects fresh from their seed, and the data sets.

    Made just before a training, so that a student's first weights and data
    do not depend on what its teacher's training drew.
    """
    hparams = configuration.build()
    datasets = open_splits(hparams)
    folder = hparams["output_folder"]
    run_on_main(refuse_other_data, args=[folder, hparams])
    # Before anything is kept: a folder is that of a run only once it trains.
    if run_opts.test_only and not hparams["checkpointer"].list_checkpoints():
        raise UserError(
            f"there must be a checkpoint to test in {hparams['save_folder']}, "
            f"got none; run without --test_only first"
        )
    sb.create_experiment_directory(folder)
    show_errors()
    if if_main_process():
        keep_data(folder, hparams)
        path = Path(folder, "hyperparams.yaml")
        write_atomically(path, configuration.text.encode())
        keep_settings(folder, configuration)
    return hparams, datasets


def _fit(brain, hparams, datasets):
    """Train, or go on, and load the best checkpoint, its sign put right."""
    if not brain.test_only:
        require_shared_memory(hparams, datasets)
    options = loader_options(hparams["num_workers"])
    with lost_workers_are_user_errors():
        brain.fit(
            hparams["epoch_counter"],
            datasets["train"],
            datasets["valid"],
            train_loader_kwargs={
                "batch_size": hparams["batch_size"], "shuffle": True,
                "collate_fn": PaddedBatch, **options
            },
            valid_loader_kwargs={"batch_size": 1, **options},
        )  # fmt: skip
    brain.checkpointer.recover_if_possible(max_key=hparams["best_metric"])
    require_finite(brain.network, "the trained network")
    brain.correct_polarity(datasets["valid"])


def _of_brain(hparams, run_opts):
    """Return the arguments of a Brain."""
    modules, optimizer = hparams["modules"], hparams["opt_class"]
    return modules, optimizer, hparams, run_opts, hparams["checkpointer"]


def _teach(configuration, run_opts):
    hparams, datasets = _start(configuration, run_opts)
    brain = EnhancementBrain(*_of_brain(hparams, run_opts))
    brain.align_polarity(datasets["train"])
    _fit(brain, hparams, datasets)
    systems = {"teacher": hparams["teacher"]["model"]}
    _finish(configuration, hparams, run_opts, datasets, systems, brain)


def distil(command: Command) -> tuple[dict, dict, DFKDBrain]:
    """Train a student, or go on, up to its best checkpoint; after get_ready.

    Returned are the leaf's objects, the data sets and the Brain.
    """
    run_opts, settings = command.run_opts, command.configuration.settings()
    hparams, datasets = _start(command.configuration, run_opts)
    needed = teacher_roles(hparams)
    model = load_teacher(hparams, settings) if needed else None
    train_set = datasets["train"]
    teacher = choose_teacher(model, hparams, settings, train_set, run_opts)
    start_from_teacher(hparams)  # a resume then loads its checkpoint
    brain = DFKDBrain(*_of_brain(hparams, run_opts), teacher)
    brain.scale_teacher(train_set)
    brain.align_polarity(train_set)
    brain.measure_kd_weight(train_set)
    _fit(brain, hparams, datasets)
    return hparams, datasets, brain


def _finish(
    configuration, hparams, run_opts, datasets, systems, brain, command=None
):
    """Score the systems, export what the Brain trained, if any, and report."""
    if if_main_process():
        folder = Path(hparams["output_folder"])
        trained = brain and list(systems)[-1]
        systems = {"noisy": Unprocessed(), **systems}
        rows, scores = [], {}
        for split in hparams.get("score_splits", ["test"]):
            tester = SystemTester(hparams, run_opts, datasets[split], split)
            for name in systems:
                if name not in hparams.get("score_systems", systems):
                    continue
                kept = hparams["prepared_folder"] if name == "noisy" else folder
                found = tester.scores(name, systems[name], kept)
                scores.setdefault(name, {})[split] = found.rows
                if split == "test":
                    rows += tester.rows(name, systems[name], found)
        if trained:
            text, rate = configuration.text, hparams["sample_rate"]
            model = systems[trained]
            export_enhancer(folder / EXPORT, text, trained, model, rate)
            keep_epochs(folder, configuration)
        record = {"scores": scores, "command": command}
        if "teacher" in systems:
            record["teacher_fingerprint"] = fingerprint(systems["teacher"])
        if brain:
            record |= brain.record()
        print(f"\n{write_report(folder, rows, **record)}\n")
        print(f"Results:  {folder}/results.csv, results.json")
        if trained:
            print(f"{trained.capitalize()} to deploy: {folder / EXPORT}")
        sys.stdout.flush()
    ddp_barrier()
