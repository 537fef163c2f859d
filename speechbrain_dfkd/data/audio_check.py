"""Which recordings a model can be trained on, and what is wrong with others."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from tqdm import tqdm

from speechbrain_dfkd.errors import UserError, listing

UNREADABLE = "cannot be read as audio; copy or unpack them again"
TRUNCATED = "end before the length in their header; copy or unpack them again"
EMPTY = "hold no samples; remove them with their noisy or clean twins"
MULTICHANNEL = "have several channels; convert them to mono"
LOW_RATE = "are below sample_rate; get them at that rate or a higher one"
NOT_FINITE = "hold NaN or infinite samples; remove them with their twins"
SILENT = "are silent (all samples are equal); remove them with their twins"

# RIFF sizes that a program writes when it cannot know the length beforehand.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)


class WavFile(NamedTuple):
    """What the header of a recording says; ``frames`` are samples."""

    path: Path
    sample_rate: int
    frames: int


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
        f"{len(lines)} {problem}:\n{listing(lines)}"
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
    wavs, found = [], []
    for path in tqdm(paths, desc="Reading headers", unit="file", leave=False):
        try:
            wavs.append(check_header(path, sample_rate))
        except BadAudio as bad:
            found.append(bad)
    raise_if_bad(found)
    return wavs


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
        missing = _missing_bytes(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise BadAudio(UNREADABLE, path, str(error)) from error
    if missing > 0:
        raise BadAudio(TRUNCATED, path, f"{missing} bytes are missing")
    if info.frames == 0:
        raise BadAudio(EMPTY, path)
    if mono and info.channels != 1:
        raise BadAudio(MULTICHANNEL, path, f"{info.channels} channels")
    if info.samplerate < sample_rate:
        raise BadAudio(LOW_RATE, path, f"{info.samplerate} Hz")
    return WavFile(path, info.samplerate, info.frames)


def _missing_bytes(path):
    """Compare the file's size with its RIFF header's.

    libsndfile silently shortens a truncated wav to what is there.
    """
    with open(path, "rb") as file:
        magic, size = file.read(4), int.from_bytes(file.read(4), "little")
    if magic != b"RIFF" or size in _UNKNOWN_SIZES:
        return 0
    # Some programs count a final padding byte that they do not write.
    missing = size + 8 - path.stat().st_size
    return missing if missing > 1 else 0


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
        raise BadAudio(UNREADABLE, wav.path, str(error)) from error
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
