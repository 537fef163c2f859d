"""Tables of the recordings that are mixed while training."""

import functools
import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.random import Generator

from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import write_atomically

_FIELDS = ["path", "sample_rate", "frames"]


def write_recordings(path: str | Path, wavs: Iterable[WavFile]) -> None:
    """Write a table of recordings to a ``.npy`` file, sorted by their paths."""
    rows = sorted((os.fsencode(w.path.absolute()), *w[1:3]) for w in wavs)
    longest = max((len(row[0]) for row in rows), default=1)
    formats = [f"S{longest}", "<i4", "<i8"]
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows, list(zip(_FIELDS, formats, strict=True))))
    write_atomically(Path(path), buffer.getvalue())


class Recordings:
    """A table of recordings, the memory of which processes share."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._rows = np.load(self.path, mmap_mode="r")
            if self._rows.dtype.names != tuple(_FIELDS) or not len(self._rows):
                raise ValueError("none")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} must list recordings, got {error}; run the "
                "recipe without skip_prep to write it again"
            ) from error

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index: int) -> WavFile:
        name, sample_rate, frames = self._rows[index]
        return WavFile(os.fsdecode(name), int(sample_rate), int(frames))

    def draw(self, rng: Generator, by_duration: bool = False) -> WavFile:
        """Return a random recording; by duration, long ones more often."""
        if not by_duration:
            return self[int(rng.integers(len(self)))]
        position = rng.integers(self._ends[-1])
        return self[int(np.searchsorted(self._ends, position, "right"))]

    @functools.cached_property
    def _ends(self):
        return np.cumsum(self._rows["frames"])

    def __reduce__(self):
        # A process that is started anew maps the file itself.
        return Recordings, (self.path,)
