"""Runs the recipe's scripts as a user does, at a size that takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DFKD = ("recipes/VoiceBank/train_dfkd.py", "hparams/dccrn_dfkd.yaml")
TEACHER = ("recipes/VoiceBank/train_teacher.py", "hparams/dccrn_teacher.yaml")

# Seven steps an epoch on the corpus of conftest.py.
SIZES = {"batch_size": 4, "segment_seconds": 0.5, "number_of_epochs": 2}
SHORT = {**SIZES, "number_of_epochs": 1}
# As many in an epoch of the DNS recipe.
MIXTURES = {
    "mixtures_per_epoch": 26,
    "valid_share": 0.2,
    "valid_mixtures": 2,
    "valid_seconds": 1.5,
}
TEACHER_NETWORK = "!include:models/dccrn_quarter.yaml"
STUDENT_NETWORK = "!include:models/dccrn_eighth.yaml"

# What a finished run with dfkd_options has in its results folder.
TEACHER_FOLDER = "teachers/dccrn_quarter-seed_1234"
STUDENT_FOLDER = "dccrn_eighth-from-dccrn_quarter/dfkd_1.0-seed_1234"
WEIGHTS = "enhancer/enhance_model.ckpt"


def teacher_options(corpus, results, **changes):
    """Return the command line of a tiny teacher; later values win."""
    values = {
        "data_folder": corpus,
        "results_folder": results,
        "teacher": TEACHER_NETWORK,
        "num_workers": 0,
        "device": "cpu",
        **SIZES,
        **changes,
    }
    pairs = [(f"--{key}", str(value)) for key, value in values.items()]
    return ["--noprogressbar", *(word for pair in pairs for word in pair)]


def dfkd_options(corpus, results, **changes):
    """Return the command line of a tiny student, whose teacher is as tiny."""
    values = {
        "student": STUDENT_NETWORK,
        "teacher_overrides": SIZES,
        **changes,
    }
    return teacher_options(corpus, results, **values)


def environment():
    """Return the variables of a process that sees the package, on one core."""
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "OMP_NUM_THREADS": "1",
        "LOKY_MAX_CPU_COUNT": "1",
    }


def start(script, arguments, **streams):
    """Start a script from the repository's root and return its process."""
    return subprocess.Popen(
        [sys.executable, *script, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        **streams,
    )


def run(script, arguments):
    """Run a script to its end; return its exit code, stdout and stderr."""
    process = start(script, arguments, stderr=subprocess.PIPE)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(
        process.args, process.returncode, stdout, stderr
    )


def finish(script, arguments):
    """Run a script that must succeed; return what it printed to stdout."""
    done = run(script, arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained_files(folder):
    """Return what a training leaves: checkpoints, weights and results."""
    patterns = ("CKPT*", "*.ckpt", "results.*", "train_log.txt")
    return [path for name in patterns for path in Path(folder).rglob(name)]


def assert_refused(code, stdout, stderr, fragments, results):
    """Check exit code, message, and that no training began."""
    assert code == 2, stdout + stderr
    error = stderr[stderr.rindex("error: ") :]
    for fragment in fragments:
        assert fragment in error
    assert "Traceback" not in stdout + stderr
    assert "Going into epoch" not in stdout + stderr
    assert trained_files(results) == []
    assert list(results.rglob("*.part")) == []
