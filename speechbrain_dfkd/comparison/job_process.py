"""What a process of a comparison does: one training, or the teacher's.

``python -m speechbrain_dfkd.comparison.job_process WHAT RECIPE_FOLDER LEAF ...``
"""

import sys
from functools import partial
from pathlib import Path

from speechbrain_dfkd.command_line import DFKD_KEYS, exit_code, read_command
from speechbrain_dfkd.comparison.comparison_results import SPLITS
from speechbrain_dfkd.comparison.job_results import save_json
from speechbrain_dfkd.comparison.jobs import end_with_parent
from speechbrain_dfkd.comparison.timed_brain import TimedBrain, read_timing
from speechbrain_dfkd.data.splits import open_splits
from speechbrain_dfkd.experiment import distil, get_ready, hold_run
from speechbrain_dfkd.inference.export import EXPORT, export_enhancer
from speechbrain_dfkd.results import SystemTester, Unprocessed
from speechbrain_dfkd.teacher import fingerprint, load_teacher

OUTCOME_FILE = "outcome.json"
# What to do: get the teacher and score it, or distil and score a student.
TEACH, DISTIL, DISTIL_AND_TEST = "teach", "distil", "distil-and-test"


def main(words: list) -> int:
    """Do one job; return its exit code.

    Arguments
    ---------
    words : list of str
        What to do, the recipe's folder, and a command line of
        ``train_dfkd.py`` whose ``output_folder`` receives the result.
    """
    what, recipe_folder, *argv = words
    end_with_parent()
    sys.path.insert(0, recipe_folder)
    return exit_code(partial(_run, what), argv, recipe_folder)


def _run(what, argv, recipe_folder):
    # compare.py has announced what all jobs share.
    command = read_command(argv, recipe_folder, DFKD_KEYS, announce=False)
    with hold_run(command.configuration, command.run_opts):
        _TASKS[what](command)


def _teach(command):
    """Train the teacher unless it was; score it and the noisy input."""
    get_ready(command, teaches=True)
    hparams = command.configuration.build()
    teacher = load_teacher(hparams, command.configuration.settings())
    folder = Path(hparams["output_folder"])
    systems = {
        "noisy": (Unprocessed(), hparams["prepared_folder"]),
        "teacher": (teacher, folder),
    }
    datasets = open_splits(hparams)
    scores = {
        name: _scores(hparams, command, datasets, SPLITS, name, *system)
        for name, system in systems.items()
    }
    outcome = {"fingerprint": fingerprint(teacher), "systems": scores}
    save_json(folder / OUTCOME_FILE, outcome)


def _scores(hparams, command, datasets, splits, system, model, folder):
    return {
        split: SystemTester(hparams, command.run_opts, datasets[split], split)
        .scores(system, model, folder)
        .rows
        for split in splits
    }


def _distil(command, splits=("valid",)):
    get_ready(command)
    hparams, datasets, brain = distil(command, TimedBrain)
    folder = Path(hparams["output_folder"])
    student = hparams["student"]["model"]
    text, rate = command.configuration.text(), hparams["sample_rate"]
    export_enhancer(folder / EXPORT, text, "student", student, rate)
    scores = _scores(
        hparams, command, datasets, splits, "student", student, folder
    )
    outcome = {
        "valid": scores["valid"],
        "test": scores.get("test", {}),
        "kd_weight": brain.schedule.weight if brain.measures_weight else None,
        **read_timing(folder),
    }
    save_json(folder / OUTCOME_FILE, outcome)


def _distil_and_test(command):
    _distil(command, SPLITS)


_TASKS = {TEACH: _teach, DISTIL: _distil, DISTIL_AND_TEST: _distil_and_test}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
