"""Runs on real recordings, where there are some.

DFKD_MINI_FOLDER names a folder with a part of VoiceBank+DEMAND at 48 kHz in
``VoiceBank/``: some utterances of each training speaker, and of both test
speakers; and in ``DNS/`` recordings laid out as those of DNS2020.
"""

import json
import os
from pathlib import Path

import pytest
import soundfile
from recipe_runs import DFKD, MIXTURES, dfkd_options, finish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "DFKD_MINI_FOLDER" not in os.environ,
        reason="DFKD_MINI_FOLDER is not set",
    ),
]
SIZES = {"batch_size": 16, "segment_seconds": 1.0, "number_of_epochs": 1}


def distil(script, corpus, folder, **changes):
    data = Path(os.environ["DFKD_MINI_FOLDER"], corpus)
    sizes = {**SIZES, "teacher_overrides": SIZES, **changes}
    finish((script, DFKD[1]), dfkd_options(data, folder, **sizes))
    return folder


def rows_of(results):
    (path,) = results.glob("*-from-*/*/results.json")
    return {row["system"]: row for row in json.loads(path.read_text())["rows"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return distil(DFKD[0], "VoiceBank", tmp_path_factory.mktemp("real"))


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
    rows = rows_of(results)
    assert list(rows) == ["noisy", "teacher", "student"]
    noisy = rows["noisy"]
    # The whole test set has SNRs of 2.5 to 17.5 dB, PESQ 1.97, STOI 0.92.
    assert 5 < noisy["si_sdr"] < 15
    assert 1.4 < noisy["pesq_wb"] < 2.6
    assert 0.85 < noisy["stoi"] < 0.97


def test_noisy_row_is_that_of_dns(tmp_path):
    options = {"dataset": MIXTURES, "kd_weight": 0}
    distil("recipes/DNS/train_dfkd.py", "DNS", tmp_path, **options)
    noisy = rows_of(tmp_path)["noisy"]
    assert noisy["test_set"] == "no_reverb"
    # The official no_reverb set has 9.07 dB, PESQ 1.58, STOI 0.915; pairs
    # joined wrongly would have less than 0 dB.
    assert 5 < noisy["si_sdr"] < 15
    assert 1.2 < noisy["pesq_wb"] < 2.2
    assert 0.8 < noisy["stoi"] < 0.97
