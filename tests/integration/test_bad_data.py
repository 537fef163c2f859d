"""Recordings that cannot be used are named, and nothing is left half-made."""

import os
import shutil

import numpy as np
import pytest
import soundfile
from recipe_runs import assert_refused, dfkd_options

NOISY = "noisy_trainset_28spk_wav_16k"
CLEAN = "clean_trainset_28spk_wav_16k"
TEST = "noisy_testset_wav_16k"


@pytest.fixture
def data(corpus, tmp_path):
    """Return a copy of the corpus to be spoilt."""
    return shutil.copytree(corpus, tmp_path / "data")


def rewrite(path, change):
    """Apply a function to the samples of a recording."""
    samples, rate = soundfile.read(path)
    soundfile.write(path, change(samples), rate, subtype="FLOAT")


def remove(*paths):
    for path in paths:
        path.unlink()


def is_missing(data):
    shutil.rmtree(data)


def is_empty(data):
    is_missing(data)
    data.mkdir()


def lacks_test_set(data):
    shutil.rmtree(data / TEST)


def lacks_twin(data):
    remove(data / CLEAN / "p228_001.wav")


def has_longer_twin(data):
    rewrite(data / NOISY / "p228_001.wav", lambda wav: np.pad(wav, (0, 99)))


def has_stereo(data):
    rewrite(data / NOISY / "p228_001.wav", lambda wav: np.stack([wav, wav], 1))


def has_another_rate(data):
    for side in (NOISY, CLEAN):
        path = data / side / "p228_001.wav"
        soundfile.write(path, soundfile.read(path)[0], 48000)


def has_low_rate(data):
    for path in data.rglob("*.wav"):
        soundfile.write(path, soundfile.read(path)[0], 8000)


def is_truncated(data):
    os.truncate(data / NOISY / "p228_001.wav", 9000)


def is_no_audio(data):
    (data / NOISY / "p228_001.wav").write_text("404: not found")


def is_silent(data):
    rewrite(data / CLEAN / "p228_001.wav", np.zeros_like)


def has_nan(data):
    rewrite(
        data / TEST / "p232_001.wav",
        lambda wav: np.where(np.arange(len(wav)) == 5, np.nan, wav),
    )


def has_no_noise(data):
    shutil.rmtree(data / NOISY)
    shutil.copytree(data / CLEAN, data / NOISY)


def has_few_speakers(data):
    remove(*data.rglob("p226_*.wav"))


@pytest.mark.parametrize(
    ("spoil", "fragments"),
    [
        (is_missing, ["data_folder", "pass --data_folder"]),
        (is_empty, [CLEAN[:-4], NOISY[:-4], TEST[:-4], "Download"]),
        (lacks_test_set, [TEST[:-4], "Download"]),
        (lacks_twin, ["p228_001.wav has no clean twin", "remove these"]),
        (has_longer_twin, ["p228_001: noisy", "same length", "remove both"]),
        (has_stereo, ["p228_001.wav (2 channels)", "convert them to mono"]),
        (has_another_rate, ["p228_001.wav has 48000 Hz", "Resample"]),
        (has_low_rate, ["8000 Hz", "get them at that rate"]),
        (is_truncated, ["p228_001.wav", "bytes are missing", "copy or unpack"]),
        (is_no_audio, ["p228_001.wav", "cannot be read as audio"]),
        (is_silent, ["p228_001.wav", "are silent", "remove them"]),
        (has_nan, ["p232_001.wav", "NaN", "remove them"]),
        (has_no_noise, ["equal to their clean twins", "unpack the noisy"]),
        (has_few_speakers, ["p226", "unpack the whole training archive"]),
    ],
)
def test_bad_data_are_named(call, data, tmp_path, spoil, fragments):
    spoil(data)
    results = tmp_path / "results"
    outcome = call(dfkd_options(data, results))
    assert_refused(*outcome, fragments, results)
    assert not list(results.rglob("*.json")), "no manifest, no settings"
