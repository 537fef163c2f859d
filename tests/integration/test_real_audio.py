"""A run on recordings of VoiceBank+DEMAND, where there are some.

DFKD_MINI_FOLDER names a folder with a part of the corpus at 48 kHz in
``VoiceBank/``: some utterances of each training speaker, and of both test
speakers.
"""

import json
import os
from pathlib import Path

import pytest
import soundfile
from recipe_runs import DFKD, dfkd_options, finish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "DFKD_MINI_FOLDER" not in os.environ,
        reason="DFKD_MINI_FOLDER is not set",
    ),
]
SIZES = {"batch_size": 16, "segment_seconds": 1.0, "number_of_epochs": 1}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    data = Path(os.environ["DFKD_MINI_FOLDER"], "VoiceBank")
    finish(DFKD, dfkd_options(data, folder, **SIZES, teacher_overrides=SIZES))
    return folder


def manifest(results, split):
    return json.loads((results / "data" / f"{split}.json").read_text())


def speakers(entries):
    return {name.split("_")[0] for name in entries}


def test_manifests_hold_the_speakers_that_they_should(results):
    train, valid, test = (
        manifest(results, split) for split in ("train", "valid", "test")
    )
    assert len(train) + len(valid) >= 56
    assert speakers(valid) == {"p226", "p287"}
    assert len(speakers(train)) == 26
    assert speakers(test) == {"p232", "p257"}
    assert not speakers(train) & (speakers(valid) | speakers(test))


def test_recordings_are_resampled_whole(results):
    for entry in manifest(results, "test").values():
        for side in ("noisy_wav", "clean_wav"):
            info = soundfile.info(entry[side])
            assert (info.samplerate, info.channels) == (16000, 1)
            assert info.duration == pytest.approx(entry["length"], abs=1e-4)


def test_noisy_row_is_that_of_voicebank(results):
    (path,) = results.glob("*-from-*/*/results.json")
    rows = {row["system"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["noisy", "teacher", "student"]
    # The whole test set has SNRs of 2.5 to 17.5 dB, PESQ 1.97, STOI 0.92.
    assert 5 < rows["noisy"]["si_sdr"] < 15
    assert 1.4 < rows["noisy"]["pesq_wb"] < 2.6
    assert 0.85 < rows["noisy"]["stoi"] < 0.97
