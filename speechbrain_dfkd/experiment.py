"""What the recipe scripts run, from the command line to the results table."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from torch import nn

from speechbrain_dfkd import run_folder
from speechbrain_dfkd.data.dataset import (
    loader_options,
    lost_workers_are_user_errors,
    open_splits,
    prepare_splits,
    require_shared_memory,
    whole_options,
)
from speechbrain_dfkd.errors import UserError, show_errors
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.folder_lock import (
    empty_folder,
    hold_folder,
    hold_if_writable,
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
    """Train and test a teacher as ``argv`` says; return the exit code."""
    return exit_code(_train_teacher, argv, recipe_folder)


def train_dfkd(argv: list[str], recipe_folder: str | Path) -> int:
    """Distil and test a student; its teacher is trained first if need be."""
    return exit_code(_train_dfkd, argv, recipe_folder)


def _train_teacher(argv: list[str], recipe_folder: Path) -> None:
    command = read_command(argv, recipe_folder, TEACHER_KEYS)
    configuration, run_opts = command.configuration, command.run_opts
    with _hold_run(configuration, run_opts):
        prepare_splits(_build(configuration))
        _teach(configuration, run_opts)


def _train_dfkd(argv: list[str], recipe_folder: Path) -> None:
    command = read_command(argv, recipe_folder, DFKD_KEYS)
    with _hold_run(command.configuration, command.run_opts):
        configuration = _get_ready(command)
        # Made just before the training, so that a student's first weights and
        # data do not depend on what its teacher's training drew.
        run = _Run(configuration, command.run_opts)
        settings, brain = configuration.settings(), None
        needed = teacher_roles(settings)
        model = load_teacher(run.hparams, settings) if needed else None
        systems = {} if model is None else {"teacher": model}
        if "student" in settings["score_systems"]:
            brain = _distil(run, model)
            systems["student"] = run.hparams["student"]["model"]
        run.finish(systems, brain, command.text)


@contextmanager
def _hold_run(
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


def _get_ready(command: Command) -> Configuration:
    """Refuse what cannot be used; return settings with a trained teacher."""
    configuration, run_opts = command.configuration, command.run_opts
    hparams = _build(configuration, check_leaf)
    teacher = None
    if teacher_roles(hparams) and hparams["teacher_ckpt"]:
        load_teacher(hparams, configuration.settings())
    elif teacher_roles(hparams):
        teacher = command.teacher()
        with _about_the_teacher(teacher):
            _build(teacher)
    prepare_splits(hparams)
    datasets = open_splits(hparams)
    check_cache(hparams, datasets["train"])
    require_shared_memory(hparams, datasets)
    if teacher is None:
        return configuration
    with _hold_run(teacher, run_opts, hold_if_writable):
        weights = _find_or_teach(teacher, run_opts)
    return configuration.replace(teacher_ckpt=str(weights))


def check_leaf(hparams: dict) -> None:
    """Refuse objects of a dfkd leaf that do not fit together."""
    check_objects(hparams)
    check_objective(hparams)
    check_cache(hparams)
    start_from_teacher(hparams)


def _build(
    configuration: Configuration, check: Callable = check_objects
) -> dict:
    """Return a leaf's objects, checked, for a folder that is not another's."""
    hparams = configuration.build()
    check(hparams)
    folder = configuration.settings()["output_folder"]
    run_on_main(run_folder.refuse_other_settings, args=[folder, configuration])
    return hparams


def _find_or_teach(configuration: Configuration, run_opts: RunOptions) -> Path:
    """Return the weights of a teacher, trained unless it was before."""
    settings = configuration.settings()
    folder, asked = settings["output_folder"], settings["number_of_epochs"]
    trained = run_folder.trained_epochs(folder)
    with _about_the_teacher(configuration):
        run_on_main(run_folder.refuse_other_data, args=[folder, settings])
        if trained is None or trained >= asked:
            more = f", trained for {trained} epochs where {asked} are asked for"
            more *= trained not in (None, asked)
            print(f"Teacher found: {folder}{more}", flush=True)
        else:
            found = "not found; training it into"
            if trained:
                found = f"found, trained for {trained} of {asked} epochs; "
                found += "going on in"
            print(f"Teacher {found} {folder}", flush=True)
            _teach(configuration, run_opts)
    return Path(folder, EXPORT, WEIGHTS)


@contextmanager
def _about_the_teacher(configuration: Configuration) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{error}\nThis is about the teacher, trained by "
            f"{configuration.leaf}; what it is to do otherwise goes into "
            f"--teacher_overrides, e.g. '{{segment_seconds: 2.0}}'"
        ) from error


class _Run:
    """A run's objects, fresh from their seed, and its data sets."""

    def __init__(self, configuration: Configuration, run_opts: RunOptions):
        self.configuration, self.run_opts = configuration, run_opts
        self.hparams = configuration.build()
        self.datasets = open_splits(self.hparams)
        self.folder = Path(self.hparams["output_folder"])

    def start(self) -> None:
        """Make the folder that of this run, unless it is another's."""
        hparams, folder = self.hparams, self.folder
        run_on_main(run_folder.refuse_other_data, args=[folder, hparams])
        # Before anything is kept: a folder is a run's only once it trains.
        saved = hparams["checkpointer"].list_checkpoints
        if self.run_opts.test_only and not saved():
            raise UserError(
                f"there must be a checkpoint to test in "
                f"{hparams['save_folder']}, got none; run without --test_only "
                f"first"
            )
        sb.create_experiment_directory(folder)
        show_errors()
        if if_main_process():
            run_folder.keep_data(folder, hparams)
            text = self.configuration.text.encode()
            write_atomically(folder / "hyperparams.yaml", text)
            run_folder.keep_settings(folder, self.configuration)

    def brain(self, kind: type[EnhancementBrain], *more: Any) -> Any:
        """Return a Brain that trains the run's modules."""
        hparams = self.hparams
        modules, optimizer = hparams["modules"], hparams["opt_class"]
        options = hparams, self.run_opts, hparams["checkpointer"]
        return kind(modules, optimizer, *options, *more)

    def fit(self, brain: EnhancementBrain) -> None:
        """Train, or go on; load the best checkpoint, its sign put right."""
        hparams, datasets = self.hparams, self.datasets
        if not brain.test_only:
            require_shared_memory(hparams, datasets)
        training = {"batch_size": hparams["batch_size"], "shuffle": True}
        training |= loader_options(hparams, brain.device)
        training["collate_fn"] = PaddedBatch
        valid = datasets["valid"]
        with lost_workers_are_user_errors():
            brain.fit(
                hparams["epoch_counter"],
                datasets["train"],
                valid,
                train_loader_kwargs=training,
                valid_loader_kwargs=whole_options(hparams, brain.device, valid),
            )
        brain.checkpointer.recover_if_possible(max_key=hparams["best_metric"])
        require_finite(brain.network, "the trained network")
        brain.correct_polarity(valid)

    def finish(
        self,
        systems: dict[str, nn.Module],
        brain: EnhancementBrain | None,
        command: str | None = None,
    ) -> None:
        """Score the systems, export what the Brain trained, if any; report."""
        if if_main_process():
            rows, scores = self._scored({"noisy": Unprocessed(), **systems})
            hparams, folder = self.hparams, self.folder
            trained = brain and list(systems)[-1]
            if trained:
                text, rate = self.configuration.text, hparams["sample_rate"]
                model = systems[trained]
                export_enhancer(folder / EXPORT, text, trained, model, rate)
                run_folder.keep_epochs(folder, hparams)
            record = {"scores": scores, "command": command}
            if "teacher" in systems:
                record["teacher_fingerprint"] = fingerprint(systems["teacher"])
            if brain:
                record |= brain.record()
            print(f"\n{run_folder.write_report(folder, rows, **record)}\n")
            print(f"Results:  {folder}/results.csv, results.json")
            if trained:
                print(f"{trained.capitalize()} to deploy: {folder / EXPORT}")
            sys.stdout.flush()
        ddp_barrier()

    def _scored(self, systems: dict[str, nn.Module]) -> tuple[list, dict]:
        """Return the rows of the results, and the scores of each clip."""
        hparams, rows, scores = self.hparams, [], {}
        for split in hparams.get("score_splits", ["test"]):
            test_set = self.datasets[split]
            tester = SystemTester(hparams, self.run_opts, test_set, split)
            for name, model in systems.items():
                if name not in hparams.get("score_systems", systems):
                    continue
                noisy = name == "noisy"
                kept = hparams["prepared_folder"] if noisy else self.folder
                found = tester.scores(name, model, kept)
                scores.setdefault(name, {})[split] = found.rows
                if split == "test":
                    rows += tester.rows(name, model, found)
        return rows, scores


def _teach(configuration: Configuration, run_opts: RunOptions) -> None:
    run = _Run(configuration, run_opts)
    run.start()
    brain = run.brain(EnhancementBrain)
    brain.align_polarity(run.datasets["train"])
    run.fit(brain)
    run.finish({"teacher": run.hparams["teacher"]["model"]}, brain)


def _distil(run: _Run, model: nn.Module | None) -> DFKDBrain:
    """Train a student, or go on, up to its best checkpoint."""
    run.start()
    hparams, train_set = run.hparams, run.datasets["train"]
    settings = run.configuration.settings()
    teacher = choose_teacher(model, hparams, settings, train_set, run.run_opts)
    start_from_teacher(hparams)  # a resume then loads its checkpoint
    brain = run.brain(DFKDBrain, teacher)
    brain.scale_teacher(train_set)
    brain.align_polarity(train_set)
    brain.measure_kd_weight(train_set)
    run.fit(brain)
    return brain
