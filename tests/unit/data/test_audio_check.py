"""Every recording that cannot be trained on is refused, by name."""

import numpy as np
import pytest
import soundfile

from speechbrain_dfkd.data import audio_check
from speechbrain_dfkd.data.audio_check import check_headers, read_samples
from speechbrain_dfkd.errors import UserError


def _check(path):
    [wav] = check_headers([path], 16000)
    try:
        read_samples(wav)
    except audio_check.BadAudio as bad:
        audio_check.raise_if_bad([bad])


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
        (lambda path: path.write_bytes(b"no audio"), audio_check.UNREADABLE),
        (lambda path: path.write_bytes(b""), audio_check.UNREADABLE),
        (_cut, audio_check.TRUNCATED),
        (lambda path: soundfile.write(path, [], 48000), audio_check.EMPTY),
        (_stereo, audio_check.MULTICHANNEL),
        (_slow, audio_check.LOW_RATE),
        (_hold(np.nan, 7), audio_check.NOT_FINITE),
        (_hold(np.inf, 7), audio_check.NOT_FINITE),
        (_hold(0.0), audio_check.SILENT),
        (_hold(0.5), audio_check.SILENT),
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


def test_an_unknown_length_in_the_header_is_no_truncation(
    write_noise, tmp_path
):
    path = write_noise(tmp_path / "streamed.wav")
    data = bytearray(path.read_bytes())
    data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    _check(path)


def test_all_problems_are_reported_at_once(write_noise, tmp_path):
    cut = [write_noise(tmp_path / f"cut{i:02}.wav") for i in range(25)]
    for path in cut:
        _cut(path)
    stereo = write_noise(tmp_path / "stereo.wav", channels=2)
    with pytest.raises(UserError) as error:
        check_headers([*cut, stereo], 16000)
    text = str(error.value)
    assert "got 26 others" in text and "... 25 in all" in text
    assert "cut19" in text and "cut20" not in text
    assert "stereo.wav (2 channels)" in text
