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
