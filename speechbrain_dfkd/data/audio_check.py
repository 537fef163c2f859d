"""Which recordings a model can be trained on, and what is wrong with others."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from tqdm import tqdm

from speechbrain_dfkd.errors import UserError, listing

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
