"""Every recording that cannot be trained on is refused, by name."""

import struct

import numpy as np
import pytest
import soundfile

from speechbrain_dfkd.data import audio
from speechbrain_dfkd.data.audio import Scan, check_header, read_samples
from speechbrain_dfkd.errors import UserError


def _check(*paths):
    folder = paths[0].parent
    Scan(folder, folder / "cache", 16000, n_jobs=1).recordings(paths)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _hold(value, samples=slice(None)):
    def rewrite(path):
        wav, rate = soundfile.read(path, dtype="float32")
        wav[samples] = value
        soundfile.write(path, wav, rate, subtype="FLOAT")

    return rewrite


def _stereo(path):
    soundfile.write(path, np.full((400, 2), 0.1), 48000)


def _slow(path):
    soundfile.write(path, np.full(400, 0.1), 8000)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b"no audio"), audio.UNREADABLE),
        (lambda path: path.write_bytes(b""), audio.UNREADABLE),
        (_cut, audio.TRUNCATED),
        (lambda path: soundfile.write(path, [], 48000), audio.EMPTY),
        (_stereo, audio.MULTICHANNEL),
        (_slow, audio.LOW_RATE),
        (_hold(np.nan, 7), audio.NOT_FINITE),
        (_hold(np.inf, 7), audio.NOT_FINITE),
        (_hold(0.0), audio.SILENT),
        (_hold(0.5), audio.SILENT),
    ],
)
def test_bad_audio_is_named_with_its_problem(
    spoil, problem, write_noise, tmp_path
):
    path = write_noise(tmp_path / "bad.wav")
    spoil(path)
    with pytest.raises(UserError) as error:
        _check(path)
    assert problem in str(error.value)
    assert str(path) in str(error.value)


def test_good_audio_is_accepted(write_noise, tmp_path):
    _check(write_noise(tmp_path / "good.wav"))


def _patched(riff=None, data=None):
    """Return what rewrites the sizes in a wav; functions of the file's own."""

    def rewrite(path):
        content = bytearray(path.read_bytes())
        start = content.index(b"data") + 4
        for offset, size in ((4, riff), (start, data)):
            if size is not None:
                value = size(len(content)) if callable(size) else size
                content[offset : offset + 4] = struct.pack("<I", value)
        path.write_bytes(content)

    return rewrite


def _with_a_chunk_after(path):
    path.write_bytes(path.read_bytes() + b"LIST\x04\0\0\0abcd")


@pytest.mark.parametrize(
    "rewrite",
    [
        _patched(0xFFFFFFFF),
        _patched(0xFFFFFFFF, 0xFFFFFFFF),
        _patched(0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        _patched(0x80000024, 0x80000000),  # arecord
        _patched(0),
        _patched(lambda size: size),  # too large by 8
        _patched(lambda size: size - 4),
        _patched(lambda size: size, lambda size: size),
        _with_a_chunk_after,
    ],
)
def test_a_wav_whose_samples_are_whole_is_taken(rewrite, write_noise, tmp_path):
    path = write_noise(tmp_path / "whole.wav")
    rewrite(path)
    wav = check_header(path, 16000)
    assert wav.frames == len(read_samples(wav)) == 480


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "W64", "AU", "FLAC"])
def test_a_file_that_ends_early_is_refused(kind, tmp_path):
    path = tmp_path / f"cut.{kind.lower()}"
    wav = np.random.default_rng(0).uniform(-0.3, 0.3, 16000)
    soundfile.write(path, wav, 16000, format=kind)
    _check(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="must hold whole"):
        _check(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid 0", "git lfs pull"),
        ("<!DOCTYPE html>\n<html>", "is text: '<!DOCTYPE html>'"),
        ("", "is empty"),
    ],
)
def test_what_is_no_audio_is_said(content, said, tmp_path):
    path = tmp_path / "a.wav"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        _check(path)
    assert said in str(error.value)


def test_all_problems_are_reported_at_once(write_noise, tmp_path):
    cut = [write_noise(tmp_path / f"cut{i:02}.wav") for i in range(25)]
    for path in cut:
        _cut(path)
    stereo = write_noise(tmp_path / "stereo.wav", channels=2)
    with pytest.raises(UserError) as error:
        _check(*cut, stereo)
    text = str(error.value)
    assert "got 26 others" in text and "... 25 in all" in text
    assert "cut19" in text and "cut20" not in text
    assert "stereo.wav (2 channels)" in text
