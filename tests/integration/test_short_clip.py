"""A clip shorter than a window is trained with, validated and tested."""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from recipe_runs import STUDENT_FOLDER, dfkd_options

# Of training, validation and test: 20 ms where DCCRN's window has 25.
SHORT = (
    ("trainset_28spk", "p228"),
    ("trainset_28spk", "p226"),
    ("testset", "p232"),
)
KEPT = ("p226", "p287", "p228", "p230", "p232")
SAMPLES = 320


@pytest.fixture
def data(corpus, tmp_path):
    """Return a corpus of few clips, with a short one in every split."""
    folder = shutil.copytree(corpus, tmp_path / "data")
    for path in folder.rglob("*.wav"):
        if not path.name.startswith(KEPT):
            path.unlink()
    for split, speaker in SHORT:
        paths = [
            folder / f"{side}_{split}_wav_16k" / f"{speaker}_001.wav"
            for side in ("clean", "noisy")
        ]
        clean, rate = soundfile.read(paths[0])
        start = min(np.abs(clean).argmax(), len(clean) - SAMPLES)
        for path in paths:
            wav, _ = soundfile.read(path)
            soundfile.write(path, wav[start : start + SAMPLES], rate)
    return folder


@pytest.mark.slow
def test_run_finishes(call, data, tmp_path):
    sizes = {"batch_size": 1, "number_of_epochs": 1, "segment_seconds": 0.5}
    options = dfkd_options(
        data, tmp_path / "results", teacher_overrides=sizes, **sizes
    )
    code, stdout, stderr = call(options)
    assert code == 0, stdout + stderr
    (table,) = (tmp_path / "results" / STUDENT_FOLDER).glob("results.csv")
    rows = {row["system"]: row for row in csv.DictReader(table.open())}
    assert set(rows) == {"noisy", "teacher", "student"}
    for row in rows.values():
        assert np.isfinite(float(row["si_sdr"])), row
