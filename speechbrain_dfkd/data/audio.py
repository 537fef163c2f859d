"""Each recording of a data set, checked once and resampled."""

import dataclasses
import functools
import io
import json
import math
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from joblib import Parallel, cpu_count, delayed
from scipy import signal
from scipy.io import wavfile
from tqdm import tqdm

from speechbrain_dfkd.data.audio_files import cache_name
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import (
    full_disk_is_user_error,
    require_room,
    write_atomically,
)

UNREADABLE = "cannot be read as audio; copy or unpack them again"
LFS_POINTER = (
    "are Git LFS pointers in place of audio; fetch the audio with `git lfs "
    "pull` where they were cloned"
)
TRUNCATED = "end before the length in their header; copy or unpack them again"
EMPTY = "hold no samples; remove them with their noisy or clean twins"
MULTICHANNEL = "have several channels; convert them to mono"
LOW_RATE = "are below sample_rate; get them at that rate or a higher one"
NOT_FINITE = "hold NaN or infinite samples; remove them with their twins"
SILENT = "are silent (all samples are equal); remove them with their twins"

# From this size on, and 0: a program did not know the length beforehand. sox
# writes this one, arecord 0x80000000, ffmpeg 0xFFFFFFFF.
_UNKNOWN_FROM = 0x7FFFF000
_BYTE_ORDER = {
    b"RIFF": "little",
    b"RF64": "little",
    b"RIFX": "big",
    b"FORM": "big",
}
# What libsndfile notes about a W64 or AU file that ends early.
_SHORT = re.compile(
    r"^ *(?:riff|Data Size) +: (\d+) \(should be (\d+)\)", re.MULTILINE
)


class WavFile(NamedTuple):
    """What the header of a recording says.

    ``frames`` are samples; ``subtype`` is soundfile's name of their format,
    and empty where nobody needs it.
    """

    path: Path
    sample_rate: int
    frames: int
    subtype: str = ""


class BadAudio(ValueError):
    """One recording that cannot be used.

    Arguments
    ---------
    problem : str
        One of the constants of this module.
    path : Path
        The file.
    detail : str
        What was found, for example ``"2 channels"``.
    """

    def __init__(self, problem, path, detail=""):
        super().__init__(problem, path, detail)
        self.problem = problem
        self.line = f"{path} ({detail})" if detail else str(path)


def raise_if_bad(found):
    """Raise one ``UserError`` that names all files in ``found``.

    Arguments
    ---------
    found : list of BadAudio
        What was found wrong; nothing is raised if it is empty.

    Example
    -------
    >>> raise_if_bad([])
    >>> try:
    ...     raise_if_bad([BadAudio(MULTICHANNEL, "a.wav", "2 channels")])
    ... except UserError as error:
    ...     print(error)
    data_folder must hold whole, mono recordings with sound in them, got 1 other:
    1 have several channels; convert them to mono:
      a.wav (2 channels)
    """
    if not found:
        return
    lines_of = defaultdict(list)
    for bad in found:
        lines_of[bad.problem].append(bad.line)
    groups = [
        f"{len(lines)} {problem}:\n{listing(lines, title=f'{problem}:')}"
        for problem, lines in lines_of.items()
    ]
    raise UserError(
        "data_folder must hold whole, mono recordings with sound in them, got "
        f"{len(found)} other{'s' * (len(found) > 1)}:\n" + "\n".join(groups)
    )


def check_headers(paths, sample_rate: int):
    """Read the headers of all ``paths``, or raise for all bad ones at once.

    Arguments
    ---------
    paths : list of Path
        The recordings.
    sample_rate : int
        The rate that is trained at, in Hz; a file's must not be lower.

    Returns
    -------
    list of WavFile

    Raises
    ------
    UserError
        Names the files that are unreadable, truncated, empty, not mono or
        at a lower rate.
    """
    found = read_headers(paths, sample_rate)
    raise_if_bad([bad for bad in found if isinstance(bad, BadAudio)])
    return found


def read_headers(paths, sample_rate: int) -> list:
    """Return a ``WavFile`` or the ``BadAudio`` of each path."""
    found = []
    for path in tqdm(paths, desc="Reading headers", unit="file", leave=False):
        try:
            found.append(check_header(path, sample_rate))
        except BadAudio as bad:
            found.append(bad)
    return found


def check_header(path: Path, sample_rate: int, mono: bool = True):
    """Return what a recording's header says, or raise ``BadAudio``.

    Arguments
    ---------
    path : Path
        The recording.
    sample_rate : int
        The rate that is trained at, in Hz; the file's must not be lower.
    mono : bool
        Whether to refuse several channels.

    Returns
    -------
    WavFile
    """
    try:
        info = soundfile.info(path)
        missing = _missing_bytes(path, info.extra_info)
    except (soundfile.SoundFileError, OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    if missing > 0:
        raise BadAudio(TRUNCATED, path, f"{missing} bytes are missing")
    if info.frames == 0:
        raise BadAudio(EMPTY, path, f"in {path.stat().st_size} bytes")
    if mono and info.channels != 1:
        raise BadAudio(MULTICHANNEL, path, f"{info.channels} channels")
    if info.samplerate < sample_rate:
        raise BadAudio(LOW_RATE, path, f"{info.samplerate} Hz")
    return WavFile(path, info.samplerate, info.frames, info.subtype)


def _unreadable(path, error):
    """Return the ``BadAudio`` of a file by what it begins with."""
    try:
        with open(path, "rb") as file:
            head = file.read(200)
    except OSError as reason:
        return BadAudio(UNREADABLE, path, reason.strerror)
    if head.startswith(b"version https://git-lfs"):
        return BadAudio(LFS_POINTER, path)
    text = head.decode("utf-8", "ignore").strip()
    if text.isprintable() or text.startswith("<"):
        detail = f"is text: {text.split(chr(10))[0][:40]!r}"
        return BadAudio(UNREADABLE, path, detail if text else "is empty")
    return BadAudio(UNREADABLE, path, str(error))


def _missing_bytes(path, log):
    """Return by how many bytes a file ends before its chunk of samples does.

    libsndfile silently shortens a truncated file to what is there. The size
    of the whole file in the header is wrong in many good files, so that
    nothing follows from it.
    """
    missing = _samples_end(path) - path.stat().st_size
    if found := _SHORT.search(log):
        length, there = map(int, found.groups())
        missing = length - there if length < _UNKNOWN_FROM else 0
    # Some programs count a padding byte that they do not write.
    return missing if missing > 1 else 0


def _samples_end(path):
    """Return where the chunk of samples ends; 0: that is not known."""
    size, long_length = path.stat().st_size, 0
    with open(path, "rb") as file:
        order = _BYTE_ORDER.get(file.read(4))
        file.seek(12)
        while order and len(head := file.read(8)) == 8:
            name, length = head[:4], int.from_bytes(head[4:], order)
            start = file.tell()
            if name in (b"data", b"SSND"):
                # Some programs put the size of the file there.
                is_odd = length in (0, size, size - 8)
                if is_odd or length >= _UNKNOWN_FROM:
                    length = long_length
                return start + length if length else 0
            if name == b"ds64":  # sizes of 64 bits, second that of the samples
                long_length = int.from_bytes(file.read(16)[8:], order)
            file.seek(start + length + length % 2)
    return 0


def read_samples(wav: WavFile):
    """Read a recording whole and check what its header cannot tell.

    Arguments
    ---------
    wav : WavFile
        Its checked header.

    Returns
    -------
    np.ndarray
        float32 samples [frames].

    Raises
    ------
    BadAudio
        If the data cannot be decoded, is cut off, not finite or silent.
    """
    try:
        samples, _ = soundfile.read(wav.path, dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(wav.path, error) from error
    if len(samples) < wav.frames:
        found = f"{len(samples)} of {wav.frames} samples"
        raise BadAudio(TRUNCATED, wav.path, found)
    if not np.isfinite(samples).all():
        raise BadAudio(NOT_FINITE, wav.path)
    require_sound(samples, wav.path)
    return samples


def require_sound(samples, path: Path):
    """Raise ``BadAudio`` if ``samples`` have no energy around their mean.

    SI-SNR divides by that energy, and PESQ fails on it.
    """
    if np.ptp(samples) == 0:
        raise BadAudio(SILENT, path)


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


@dataclasses.dataclass(frozen=True)
class CorpusScan:
    """Checks the recordings of a corpus and resamples those that need it.

    What was found is kept in ``cache``, so that a scan which was interrupted
    goes on where it stopped, and a later one reads only what is new. Each
    method raises a ``UserError`` that names the files which are unreadable,
    cut off, empty, not mono, at a lower rate, not finite or silent.

    Arguments
    ---------
    root : Path
        The corpus.
    cache : Path
        Holds the resampled copies, under the names of their sources.
    sample_rate : int
        In Hz. Recordings at this rate are used in place.
    n_jobs : int, optional
        Worker processes; by default one for each processor.
    """

    root: Path
    cache: Path
    sample_rate: int
    n_jobs: int | None = None

    def recordings(self, paths) -> list:
        """Return the ``WavFile`` to train on of each path, in their order."""
        check = functools.partial(
            _check_recording,
            root=self.root,
            cache=self.cache,
            sample_rate=self.sample_rate,
        )
        return _scan(paths, check, self.root, self.cache, self.n_jobs)

    def responses(self, paths) -> list:
        """Return the ``WavFile`` of impulse responses, in their order.

        They are short and used as they are: at any rate from ``sample_rate``
        on, with any number of channels.
        """
        check = functools.partial(_check_response, sample_rate=self.sample_rate)
        return _scan(paths, check, self.root, self.cache, self.n_jobs)


def _check_recording(path, root, cache, sample_rate):
    wav = check_header(path, sample_rate)
    cached = at_rate(wav, cache / cache_name(path, root), sample_rate)
    bad = None if is_cached(wav, cached) else check_or_cache(wav, cached)
    if bad:
        raise bad
    return cached


def _check_response(path, sample_rate):
    wav = check_header(path, sample_rate, mono=False)
    # Of several channels the first one is used.
    require_sound(read_samples(wav).reshape(wav.frames, -1)[:, 0], path)
    return wav


def _outcome(check, path):
    """Runs in a worker: the path, its state before, and what was found."""
    state = _state(path)
    try:
        return path, state, check(path)
    except BadAudio as bad:
        return path, state, bad


def _state(path):
    try:
        stat = path.stat()
    except FileNotFoundError:  # since it was listed: the check will say so
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _scan(paths, check, root, cache, n_jobs):
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / "scanned.jsonl"
    found = _known(log, root)
    wavs = {path: wav for path in paths if (wav := _current(found, path))}
    found.clear()
    pending = [path for path in paths if path not in wavs]
    bar = tqdm(
        Parallel(n_jobs=n_jobs or cpu_count(), return_as="generator")(
            delayed(_outcome)(check, path) for path in pending
        ),
        "Checking recordings",
        len(pending),
        unit="file",
    )
    bad = []
    with full_disk_is_user_error(cache, lambda: 0), log.open("a") as stream:
        for path, state, result in bar:
            if isinstance(result, BadAudio):
                bad.append(result)
                continue
            wavs[path] = result
            row = [_relative(path, root), state, _relative(result.path, cache)]
            # In front: a last line that a kill cut short stays alone.
            stream.write("\n" + json.dumps([*row, *result[1:]]))
            stream.flush()
    raise_if_bad(bad)
    return [wavs[path] for path in paths]


def _relative(path, folder):
    # So that a corpus or cache that was moved is known again; what is used in
    # place is not in the cache.
    return str(path.relative_to(folder)) if folder in path.parents else None


def _known(log, root):
    """Return {path: (state, WavFile)}; a last line that was cut is ignored."""
    if not log.exists():
        return {}
    found = {}
    for line in log.read_text().splitlines():
        try:
            name, state, target, *header = json.loads(line)
            wav = WavFile(
                log.parent / target if target else root / name, *header
            )
        except (ValueError, TypeError):
            continue
        # Lines of before there were subtypes may tell of copies that clip.
        if wav.subtype or wav.path == root / name:
            found[root / name] = state, wav
    return found


def _current(found, path):
    state, wav = found.get(path, (None, None))
    is_current = wav and state == _state(path) and wav.path.exists()
    return wav if is_current else None
