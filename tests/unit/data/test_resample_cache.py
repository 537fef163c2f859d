"""Recordings are resampled well, once, and never half."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from speechbrain_dfkd import files
from speechbrain_dfkd.data import audio
from speechbrain_dfkd.data.audio import Scan, resample
from speechbrain_dfkd.data.dataset import read_wav
from speechbrain_dfkd.errors import UserError


def _tone(hz, rate):
    return np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype("float32")


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("hz", [100, 1000, 7000])
def test_speech_band_keeps_level_and_phase(hz, rate):
    error = resample(_tone(hz, rate), rate, 16000) - _tone(hz, 16000)
    assert np.abs(error[400:-400]).max() < 1e-3


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("hz", [8100, 10000, 15000])
def test_what_the_new_rate_cannot_hold_vanishes(hz, rate):
    left = resample(_tone(hz, rate), rate, 16000)[400:-400]
    assert 20 * np.log10(left.std() + 1e-12) < -80


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 1000, 4801])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_number_of_samples_rounds_up(frames, rate):
    resampled = resample(np.ones(frames, "float32"), rate, 16000)
    assert len(resampled) == -(-frames * 16000 // rate)


@pytest.fixture
def cache(write_noise, tmp_path):
    """Return a function that caches six 48 kHz files, and its targets."""
    paths = [write_noise(tmp_path / f"in/{i}.wav", seed=i) for i in range(6)]
    targets = [tmp_path / "out" / path.name for path in paths]

    def run(n_jobs=1):
        scan = Scan(tmp_path / "in", tmp_path / "out", 16000, n_jobs)
        return scan.recordings(paths)

    run.paths, run.targets = paths, targets
    return run


@pytest.fixture
def written(monkeypatch):
    """Return the list of files that are written from now on."""
    names = []

    def spy(path, data):
        names.append(path.name)
        files.write_atomically(path, data)

    monkeypatch.setattr(audio, "write_atomically", spy)
    return names


def test_cached_files_are_16_bit_and_as_long_as_said(cache):
    for wav in cache(n_jobs=2):
        info = soundfile.info(wav.path)
        assert (info.subtype, info.samplerate) == ("PCM_16", 16000)
        assert info.frames == wav.frames == 160


def test_only_new_and_changed_files_are_resampled(cache, written, write_noise):
    cache()
    assert len(written) == 6
    cache()
    assert len(written) == 6
    write_noise(cache.paths[2], seed=99)
    os.utime(cache.paths[2], (0, 0))  # older than its copy, but another file
    cache.targets[4].unlink()
    cache.targets[5].write_bytes(cache.targets[5].read_bytes()[:-2])
    cache()
    assert written[6:] == ["2.wav", "4.wav", "5.wav"]


def test_goes_on_where_it_was_interrupted(cache, monkeypatch, written):
    replace = os.replace

    def interrupted(source, target):
        if target == cache.targets[3]:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache()
    found = sorted(path.name for path in cache.targets[0].parent.iterdir())
    assert found == ["0.wav", "1.wav", "2.wav", "scanned.jsonl"]
    written.clear()
    cache()
    assert written == ["3.wav", "4.wav", "5.wav"]


def test_files_at_the_rate_are_checked_and_used_in_place(write_noise, tmp_path):
    good = write_noise(tmp_path / "good.wav", rate=16000)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(160), 16000, subtype="PCM_16")
    scan = Scan(tmp_path, tmp_path / "out", 16000, n_jobs=1)
    assert [wav.path for wav in scan.recordings([good])] == [good]
    assert list(scan.cache.rglob("*.wav")) == []
    with pytest.raises(UserError, match=r"1 are silent.*\n.*silent\.wav"):
        scan.recordings([good, silent])


def test_at_another_rate_all_is_made_again(cache, tmp_path):
    assert [wav.frames for wav in cache()] == [160] * 6
    scan = Scan(tmp_path / "in", tmp_path / "out", 8000, n_jobs=1)
    for wav in scan.recordings(cache.paths):
        assert soundfile.info(wav.path).samplerate == wav.sample_rate == 8000


def _copy(path, out):
    """Return the samples of a file's copy, and their type."""
    scan = Scan(path.parent, out, 16000, n_jobs=1)
    [wav] = scan.recordings([path])
    assert scan.recordings([path]) == [wav]
    return read_wav(wav.path, 16000).numpy(), soundfile.info(wav.path).subtype


@pytest.mark.parametrize("scale", [32768.0, 4.0, 1.0, 1e-4, 1e-12])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_recordings_of_any_level_keep_all_digits(
    scale, subtype, tmp_path
):
    path = tmp_path / "float.wav"
    wav = np.random.default_rng(0).uniform(-1, 1, 4800).astype("f4")
    soundfile.write(path, wav * scale, 48000, subtype=subtype)
    copy, kind = _copy(path, tmp_path / "out")
    assert kind == "FLOAT"
    expected = resample(wav, 48000, 16000)
    assert np.allclose(copy / scale, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("peak", "subtype", "kind"),
    [
        (0.5, "PCM_16", "PCM_16"),
        (0.5, "PCM_24", "FLOAT"),
        (0.002, "PCM_16", "FLOAT"),  # rounding again would be heard
    ],
)
def test_16_bits_are_used_where_they_hold_all(peak, subtype, kind, tmp_path):
    path = tmp_path / "pcm.wav"
    soundfile.write(path, peak * _tone(500, 48000), 48000, subtype=subtype)
    assert _copy(path, tmp_path / "out")[1] == kind


def test_what_resampling_raises_above_full_scale_is_kept(tmp_path):
    path = tmp_path / "clipped.wav"
    wav = np.sign(np.random.default_rng(0).standard_normal(4800))
    soundfile.write(path, wav, 48000, subtype="PCM_16")
    source = soundfile.read(path, dtype="float32")[0]
    copy, _ = _copy(path, tmp_path / "out")
    assert np.abs(copy).max() > 1
    assert np.allclose(copy, resample(source, 48000, 16000))


def test_a_copy_of_float_that_an_older_version_clipped_is_made_again(tmp_path):
    path, out = tmp_path / "float.wav", tmp_path / "out"
    soundfile.write(path, 4 * _tone(500, 48000), 48000, subtype="FLOAT")
    out.mkdir()
    soundfile.write(out / path.name, np.ones(16000), 16000, subtype="PCM_16")
    state = path.stat()
    os.utime(out / path.name, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert np.abs(_copy(path, out)[0]).max() > 3.9


def test_sound_that_the_cache_cannot_hold_is_silence(tmp_path):
    path = tmp_path / "ultrasonic.wav"
    wav = 1e-3 * _tone(20000, 48000) * np.hanning(48000)
    soundfile.write(path, wav, 48000, subtype="FLOAT")
    with pytest.raises(UserError, match="1 are silent"):
        _copy(path, tmp_path / "out")


def test_a_disk_that_runs_full_leaves_nothing_half(cache, monkeypatch):
    def full(path, data):
        with open(path, "wb") as file:
            file.write(data[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError) as error:
            cache()
    assert error.value.errno == errno.ENOSPC
    assert not list(cache.targets[0].parent.rglob("*.wav*"))
    assert len(cache()) == 6


def test_workers_do_not_load_torch():
    code = (
        "import sys, speechbrain_dfkd.data.audio;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
