"""Noisy and clean recordings that do not belong together are refused."""

from pathlib import Path

import pytest

from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.data.pairs import (
    Pair,
    check_lengths,
    check_rates,
    require_twins,
)
from speechbrain_dfkd.errors import UserError


def test_all_files_without_a_twin_are_named():
    train = ({"a": "noisy/a", "b": "noisy/b"}, {"a": "clean/a"})
    test = ({}, {"c": "clean/c"})
    with pytest.raises(UserError) as error:
        require_twins([train, test])
    text = str(error.value)
    assert "got 2 without a twin" in text
    assert "noisy/b has no clean twin" in text
    assert "clean/c has no noisy twin" in text


def _pair(noisy, clean):
    return Pair(
        WavFile(Path("noisy.wav"), *noisy), WavFile(Path("clean.wav"), *clean)
    )


def test_lengths_must_match():
    good, bad = _pair((48000, 9), (48000, 9)), _pair((48000, 9), (48000, 8))
    check_lengths({"a": good})
    with pytest.raises(UserError, match="got 1 .*\n  b: noisy 9, clean 8"):
        check_lengths({"a": good, "b": bad})


def test_rates_must_be_one():
    good, bad = _pair((48000, 9), (48000, 9)), _pair((48000, 9), (44100, 9))
    with pytest.raises(UserError, match="got 1 .*\n  clean.wav has 44100 Hz"):
        check_rates({"a": good, "b": bad})
