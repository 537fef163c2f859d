"""Waveforms as files of half precision, of which parts are read.

A file is a float32 scale and then float16 samples, little-endian. The scale
is a power of two that puts the peak between 2^14 and 2^15, so that waveforms
of any level keep float16's 11 significant bits: it alone would overflow above
65504, and lose bits below 6e-5.
"""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechbrain_dfkd.data.dataset import RandomCrop
from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import write_atomically

_SCALE = struct.Struct("<f")
_SAMPLE_BYTES = 2
_PEAK_EXPONENT = 15  # float16 ends just below 2^16
_LEAST_EXPONENT = -126  # of a float32 with all its bits


def encode(wav: np.ndarray) -> bytes:
    """Return the content of a file.

    Arguments
    ---------
    wav : np.ndarray
        float32 [frames], finite.

    Example
    -------
    >>> content = encode(np.array([1.0, -0.5], dtype="float32"))
    >>> _SCALE.unpack(content[:4])[0] == 2.0**-14
    True
    >>> np.frombuffer(content[4:], "<f2").tolist()
    [16384.0, -8192.0]
    """
    # peak = m 2^e with m in [0.5, 1); of silence both are 0.
    _, exponent = math.frexp(np.abs(wav).max(initial=0.0))
    exponent = max(exponent - _PEAK_EXPONENT, _LEAST_EXPONENT)
    samples = np.ldexp(wav, -exponent).astype("<f2")
    return _SCALE.pack(2.0**exponent) + samples.tobytes()


class WaveformCache:
    """A folder with a waveform of each utterance, written whole or not at all.

    Several processes may write the same file: each leaves a whole one.

    Arguments
    ---------
    folder : str or Path
        Its files are named after hashes of the utterances' ids, which may
        hold any characters.

    Example
    -------
    >>> cache = WaveformCache(getfixture("tmpdir"))
    >>> cache.write("a", torch.tensor([0.5, 0.25, 0.125]))
    >>> cache.read("a", start=1, frames=2)
    tensor([0.2500, 0.1250])
    >>> cache.is_whole("a", 3), cache.is_whole("a", 4), cache.is_whole("b", 3)
    (True, False, False)
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, utterance_id: str) -> Path:
        """Return the file of an utterance."""
        return self.folder / f"{stable_hash(utterance_id):016x}.f16"

    def is_whole(self, utterance_id: str, frames: int) -> bool:
        """Tell whether the file is there, readable, and of this length."""
        try:
            with open(self.path(utterance_id), "rb") as stream:
                content = stream.read(_SCALE.size)
                size = stream.seek(0, 2)
        except OSError:  # to be made again, which then says what is wrong
            return False
        if size != bytes_of(frames):
            return False
        # After a power failure a file can have its length, and only zeros.
        (scale,) = _SCALE.unpack(content)
        return 0 < scale < math.inf

    def write(self, utterance_id: str, wav: Tensor) -> None:
        """Keep a finite waveform [frames]."""
        content = encode(wav.float().cpu().numpy())
        write_atomically(self.path(utterance_id), content)

    def read(self, utterance_id: str, start: int, frames: int) -> Tensor:
        """Return ``frames`` samples from ``start`` on, float32 [frames].

        Raises
        ------
        UserError
            If the file is gone or shorter.
        """
        path = self.path(utterance_id)
        try:
            with open(path, "rb") as stream:
                head = stream.read(_SCALE.size)
                stream.seek(_SAMPLE_BYTES * start, 1)
                content = stream.read(_SAMPLE_BYTES * frames)
        except FileNotFoundError:
            content = b""
        if len(content) < _SAMPLE_BYTES * frames:
            raise UserError(
                f"{path} must have {start + frames} samples or more, got "
                f"fewer; start the same command again, which makes it anew"
            )
        samples = np.frombuffer(content, "<f2").astype("f4")
        return torch.from_numpy(samples).mul_(*_SCALE.unpack(head))


def bytes_of(frames: int) -> int:
    """Return the size of a file of so many samples."""
    return _SCALE.size + _SAMPLE_BYTES * frames


class CachedCrop:
    """Reads the segment of a cached waveform that a crop takes of the others.

    Arguments
    ---------
    cache : WaveformCache
        Has the utterances.
    crop : RandomCrop
        That of the recordings.
    """

    def __init__(self, cache: WaveformCache, crop: RandomCrop):
        self.cache = cache
        self.crop = crop

    def __call__(self, utterance_id, length):
        return self.cache.read(
            utterance_id, *self.crop.span(utterance_id, length)
        )
