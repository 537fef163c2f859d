"""A folder's recordings are found in any format, and named once each."""

import logging
import os
import unicodedata

import numpy as np
import pytest
import soundfile

from speechbrain_dfkd.data.pairs import by_name, recordings_below
from speechbrain_dfkd.errors import UserError


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _named(folder):
    return by_name(recordings_below(folder), folder)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "W64"])
def test_what_soundfile_reads_is_found(kind, tmp_path):
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, np.zeros(1600), 16000, format=kind)
    assert recordings_below(tmp_path) == [path]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    _touch(tmp_path, "b.wav", "._b.wav", ".Trash/a.wav", "sub/.a.wav")
    assert recordings_below(tmp_path) == [tmp_path / "b.wav"]


def test_audio_of_other_kinds_is_left_out_with_a_line(tmp_path, caplog):
    _touch(tmp_path, "a.wav", "b.m4a", "sub/c.wma", "notes.txt")
    with caplog.at_level(logging.WARNING):
        assert recordings_below(tmp_path) == [tmp_path / "a.wav"]
    assert "2 audio files of kinds that cannot be read" in caplog.text
    assert "b.m4a" in caplog.text and "c.wma" in caplog.text
    assert "notes" not in caplog.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.wav", "a.WAV"),
        ("a.wav", "a.flac"),
        ("p1/b.wav", "p1-b.wav"),
        ("p1_b.wav", "p1/p1_b.wav"),
        (
            unicodedata.normalize("NFC", "é.wav"),
            unicodedata.normalize("NFD", "é.wav"),
        ),
    ],
)
def test_two_of_one_name_are_refused(first, second, tmp_path):
    _touch(tmp_path, first, second, "other.wav")
    with pytest.raises(UserError, match="got 1 others") as error:
        _named(tmp_path)
    assert str(tmp_path / first) in str(error.value)
    assert str(tmp_path / second) in str(error.value)


def test_an_id_holds_the_folders_that_the_name_does_not_repeat(tmp_path):
    _touch(tmp_path, "a.wav", "p1/p1_1.flac", "p1/b.wav")
    assert list(_named(tmp_path)) == ["a", "p1-b", "p1_1"]


def test_both_encodings_of_an_accent_give_one_id(tmp_path):
    for form in ("NFC", "NFD"):
        _touch(tmp_path / form, unicodedata.normalize(form, "café_1.wav"))
    nfc, nfd = (set(_named(tmp_path / form)) for form in ("NFC", "NFD"))
    assert nfc == nfd


@pytest.mark.parametrize("name", [b"\xe9t\xe9.wav", b"\xe9t\xe9/a.wav"])
def test_a_name_in_no_encoding_is_refused_in_text(name, tmp_path):
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(UserError, match="UTF-8, got 1 ") as error:
        recordings_below(tmp_path)
    assert r"\xe9t\xe9" in str(error.value)
    str(error.value).encode()  # so that it can be printed


def test_names_with_spaces_and_newlines_are_taken(tmp_path):
    _touch(tmp_path, "a b.wav", "a\nb.wav", "0123.wav", "null.wav")
    assert set(_named(tmp_path)) == {"a b", "a\nb", "0123", "null"}
