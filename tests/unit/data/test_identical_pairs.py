"""Pairs without noise are found, whatever their headers are."""

import logging

import pytest
import soundfile

from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.data.pairs import Pair, refuse_identical
from speechbrain_dfkd.errors import UserError


@pytest.fixture
def pair(write_noise, tmp_path):
    """Return a function that writes a pair of three blocks."""

    def make(name, differs_at=None):
        clean = write_noise(tmp_path / f"clean/{name}.wav", 16000, 40000)
        samples, _ = soundfile.read(clean)
        if differs_at is not None:
            samples[differs_at] += 0.1
        noisy = tmp_path / f"{name}.flac"
        soundfile.write(noisy, samples, 16000, subtype="PCM_24")
        return Pair(WavFile(noisy, 16000, 40000), WavFile(clean, 16000, 40000))

    return make


def test_a_split_without_noise_is_refused(pair):
    pairs = {name: pair(name) for name in "ab"}
    with pytest.raises(UserError, match=r"got 2 equal(.|\n)*b\.flac\nunpack"):
        refuse_identical(pairs)


def test_some_are_named_and_a_late_difference_counts(pair, caplog):
    pairs = {"a": pair("a"), "b": pair("b", 39999), "c": pair("c", 0)}
    with caplog.at_level(logging.WARNING):
        refuse_identical(pairs)
    assert "1 of 3 noisy recordings" in caplog.text
    assert "a.flac" in caplog.text and "b.flac" not in caplog.text
    caplog.clear()
    refuse_identical({"b": pairs["b"]})
    assert not caplog.records
