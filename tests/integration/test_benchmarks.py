"""The scripts that made the figures of the pages run, at their smallest."""

import subprocess
import sys

import pytest
from recipe_runs import ROOT

SMALL = ["--rounds", "1", "--batch", "1", "--seconds", "0.5"]
# Compiling takes minutes, and a run's files are needed for the crossovers.
ONLY_HELP = ["--help"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "printed"),
    [
        (
            "card",
            ["--device", "cpu", "--small", "--seconds", "1500"],
            " 0 failed",
        ),
        ("crossovers", ONLY_HELP, "--teacher_ckpt"),
        ("data", ["--steps", "2", "--batches", "2"], "training waits"),
        ("losses", [*SMALL, "--objectives", "dfkd"], "dfkd"),
        (
            "models",
            [*SMALL, "--ours_only", "--networks", "conv_tasnet_small"],
            "conv_tasnet_small",
        ),
        ("precision", ONLY_HELP, "--networks"),
        ("teacher_cache", SMALL, "cached"),
        ("train_step", SMALL, "share of the dfkd step"),
        ("waiting", [*SMALL, "--recordings", "2"], "workers persist"),
    ],
)
def test_a_benchmark_runs(name, words, printed, tmp_path):
    script = ROOT / f"benchmarks/{name}.py"
    done = subprocess.run(
        [sys.executable, script, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_rounding_of_recordings_is_compared(corpus):
    script = ROOT / "benchmarks/precision.py"
    (folder,) = corpus.glob("noisy_testset*")
    words = ["--recordings", folder, "--networks", "conv_tasnet_small"]
    done = subprocess.run(
        [sys.executable, script, *words, "--files", "1"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert [row[1] for row in rows] == ["TF32", "float16"]
    # Ten bits, of which the untrained network's MDCT makes use twice.
    assert 5e-5 < float(rows[0][2]) < 2e-3
    assert float(rows[1][3]) < 5e-4
