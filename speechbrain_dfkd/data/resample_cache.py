"""Recordings at one sample rate: used in place, or resampled once to a cache.

scipy resamples: it comes with SpeechBrain, keeps the phase, runs in one thread
and needs no torch in the workers. The filter is ours, because the default one
of ``scipy.signal.resample_poly`` lets what is at 8 to 9.3 kHz alias into the
top of a 16 kHz file.
"""

import functools
import io
import math
import os
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed
from scipy import signal
from scipy.io import wavfile
from tqdm import tqdm

from speechbrain_dfkd.data.audio_check import (
    SILENT,
    BadAudio,
    WavFile,
    raise_if_bad,
    read_samples,
)
from speechbrain_dfkd.files import (
    full_disk_is_user_error,
    require_room,
    write_atomically,
)

HEADER_BYTES = 44
_FLOAT_HEADER_BYTES = 58
# Samples of these kinds lose nothing in a copy of 16 bits.
_FITS_16_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")
# Below this peak the copy's own rounding would be heard.
_QUIET = 2**-6
# What the filter leaves of a recording whose sound lies above the new band.
_RESIDUE = 1e-4
ZERO_CROSSINGS = 64
# Flat to 0.1 dB up to 90 % of the new Nyquist frequency, -100 dB from it on.
ROLLOFF, KAISER_BETA = 0.95, 10.0


@functools.lru_cache
def _lowpass(up, down):
    factor = max(up, down)
    taps = 2 * ZERO_CROSSINGS * factor + 1
    window = ("kaiser", KAISER_BETA)
    return signal.firwin(taps, ROLLOFF / factor, window=window).astype("f4")


def _ratio(source_rate, target_rate):
    common = math.gcd(source_rate, target_rate)
    return target_rate // common, source_rate // common


def resample(samples, source_rate: int, target_rate: int):
    """Change the sample rate with a linear-phase lowpass filter.

    Arguments
    ---------
    samples : np.ndarray
        float32 [frames].
    source_rate, target_rate : int
        In Hz.

    Returns
    -------
    np.ndarray
        float32 [ceil(frames * target_rate / source_rate)].

    Example
    -------
    >>> ones = np.ones(4800, dtype="float32")
    >>> resampled = resample(ones, 48000, 16000)
    >>> len(resampled), round(float(resampled[800]), 3)
    (1600, 1.0)
    """
    up, down = _ratio(source_rate, target_rate)
    taps = _lowpass(up, down)
    if up > 1:
        return signal.resample_poly(samples, up, down, window=taps)
    # 48 to 16 kHz, the common case: the same five times faster.
    return signal.oaconvolve(samples, taps, mode="same")[::down]


def at_rate(wav: WavFile, target: Path, sample_rate: int):
    """Return the recording to train on: ``wav`` itself, or a copy to make.

    The copy has 16 bits where these hold all of it, else 32.
    """
    if wav.sample_rate == sample_rate:
        return wav
    up, down = _ratio(wav.sample_rate, sample_rate)
    subtype = "PCM_16" if wav.subtype in _FITS_16_BIT else "FLOAT"
    frames = -(-wav.frames * up // down)
    return WavFile(target, sample_rate, frames, subtype)


def wav_bytes(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return samples as a wav file of their type: int16 or float32."""
    # Encoded in memory: what writes the file then says when a disk is full.
    # By scipy: libsndfile would put the time into a file of float32.
    buffer = io.BytesIO()
    wavfile.write(buffer, sample_rate, samples)
    return buffer.getvalue()


def fits_16_bits(samples: np.ndarray) -> bool:
    """Tell whether 16 bits neither clip samples nor round them away."""
    peak = np.abs(samples).max(initial=0.0)
    return bool(peak == 0 or _QUIET <= peak < 1 - 2**-15)


def to_16_bits(samples: np.ndarray) -> np.ndarray:
    """Return int16 of samples in [-1, 1], the greatest of which is clipped.

    Example
    -------
    >>> to_16_bits(np.array([-1.0, 0.5, 1.0])).tolist()
    [-32768, 16384, 32767]
    """
    # 1 is one step beyond the greatest number of 16 bits.
    return np.rint(samples * 32768).clip(-32768, 32767).astype("i2")


def _copy_bytes(samples, cached):
    """Return a copy's content, nothing of which is clipped or rounded away."""
    if cached.subtype == "PCM_16" and fits_16_bits(samples):
        samples = to_16_bits(samples)
    return wav_bytes(samples, cached.sample_rate)


def _cached_bytes(cached, subtype=None):
    if (subtype or cached.subtype) == "PCM_16":
        return HEADER_BYTES + 2 * cached.frames
    return _FLOAT_HEADER_BYTES + 4 * cached.frames


def is_cached(wav: WavFile, cached: WavFile) -> bool:
    """Tell whether a copy was made of the recording as it is now.

    It carries the time of its source; half of one does not.
    """
    if cached is wav or not cached.path.exists():
        return False
    source, target = wav.path.stat(), cached.path.stat()
    sizes = {_cached_bytes(cached, kind) for kind in (cached.subtype, "FLOAT")}
    is_of_now = target.st_mtime_ns == source.st_mtime_ns
    return is_of_now and target.st_size in sizes


def _pending(jobs):
    return [(wav, cached) for wav, cached in jobs if not is_cached(wav, cached)]


def _bytes_to_write(jobs):
    return sum(
        _cached_bytes(cached)
        for wav, cached in _pending(jobs)
        if cached is not wav
    )


def check_or_cache(wav: WavFile, cached: WavFile):
    """Read a recording, check it, and write its resampled copy.

    Arguments
    ---------
    wav : WavFile
        Its checked header.
    cached : WavFile
        The copy, as ``at_rate`` gives it; ``wav`` itself: nothing is written.

    Returns
    -------
    BadAudio or None
        What is wrong with it.
    """
    try:
        # Before reading: a file that changes meanwhile is found out of date.
        mtime_ns = wav.path.stat().st_mtime_ns
        samples = read_samples(wav)
        if cached == wav:
            return None
        copy = resample(samples, wav.sample_rate, cached.sample_rate)
        if np.ptp(copy) <= _RESIDUE * np.ptp(samples):
            raise BadAudio(SILENT, wav.path, f"at {cached.sample_rate} Hz")
    except BadAudio as bad:
        return bad
    write_atomically(cached.path, _copy_bytes(copy, cached))
    os.utime(cached.path, ns=(mtime_ns, mtime_ns))
    return None


def _run(jobs, n_jobs):
    # loky's workers do not import the main script (and torch with it), and
    # one that is killed ends the call with an error.
    bar = tqdm(jobs, desc="Checking and resampling", unit="file")
    results = Parallel(n_jobs=n_jobs or cpu_count())(
        delayed(check_or_cache)(wav, cached) for wav, cached in bar
    )
    raise_if_bad([bad for bad in results if bad is not None])


def cache_wavs(
    wavs, targets, sample_rate: int, folder: Path, n_jobs: int | None = None
):
    """Read all recordings once, check them, and resample those that need it.

    Files are written whole or not at all, so a call that was interrupted goes
    on where it stopped. A cached file that is newer or older than its source
    is made again.

    Arguments
    ---------
    wavs : list of WavFile
        Checked headers.
    targets : list of Path
        Where the resampled copy of each goes; unused for a recording that is
        at ``sample_rate`` already, which is used in place.
    sample_rate : int
        In Hz.
    folder : Path
        Holds all targets; its disk must have room for them.
    n_jobs : int, optional
        Worker processes; by default as many as there are processors for us.

    Returns
    -------
    list of WavFile
        What to train on, in the order of ``wavs``.

    Raises
    ------
    UserError
        Names all recordings that are unreadable, cut off, not finite or
        silent; or the disk is too small.
    """
    cached = [
        at_rate(wav, target, sample_rate)
        for wav, target in zip(wavs, targets, strict=True)
    ]
    jobs = list(zip(wavs, cached, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    require_room(folder, _bytes_to_write(jobs))
    with full_disk_is_user_error(folder, lambda: _bytes_to_write(jobs)):
        _run(_pending(jobs), n_jobs)
    return cached
