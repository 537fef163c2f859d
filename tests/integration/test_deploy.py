"""The trained network runs in SpeechBrain alone, without the recipe."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from recipe_runs import WEIGHTS, environment

from speechbrain_dfkd.models import DCCRN

pytestmark = pytest.mark.slow

# The lines of README.md.
SCRIPT = """
from speechbrain.inference.enhancement import WaveformEnhancement

enhancer = WaveformEnhancement.from_hparams(source="{source}")
enhancer.enhance_file("noisy.wav", "enhanced.wav")
"""


def test_exported_student_enhances_a_file(finished, tmp_path):
    rng = np.random.default_rng(0)
    noisy = 0.1 * rng.standard_normal(20011)
    soundfile.write(tmp_path / "noisy.wav", noisy, 16000, subtype="FLOAT")
    source = finished.student / "enhancer"
    before = {path: path.read_bytes() for path in source.iterdir()}

    script = SCRIPT.format(source=source)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["enhanced.wav", "noisy.wav"]
    assert {path: path.read_bytes() for path in source.iterdir()} == before

    student = DCCRN([2, 4, 8, 16, 16, 16], lstm_units=16).eval()
    weights = torch.load(finished.student / WEIGHTS, weights_only=True)
    student.load_state_dict(weights)
    with torch.no_grad():
        expected = student(torch.tensor(noisy).float()[None]).wav[0].numpy()
    enhanced, rate = soundfile.read(tmp_path / "enhanced.wav")
    assert (rate, len(enhanced)) == (16000, len(noisy))
    assert np.abs(expected).max() > 0.01, "silence would prove nothing"
    np.testing.assert_allclose(enhanced, expected, atol=1e-4)


def test_exported_weights_are_of_the_best_checkpoint(finished):
    from speechbrain.utils.checkpoints import Checkpointer

    checkpointer = Checkpointer(finished.student / "save")
    best = checkpointer.find_checkpoint(max_key="pesq_wb")
    weights = torch.load(best.paramfiles["student"], weights_only=True)
    exported = torch.load(finished.student / WEIGHTS, weights_only=True)
    assert weights.keys() == exported.keys()
    for key, value in weights.items():
        assert torch.equal(value, exported[key]), key
