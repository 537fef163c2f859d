"""A table of recordings on disk that all loading processes share.

``numpy`` maps the file into memory: half a million recordings cost a process
next to nothing, whether it was forked or started anew, and are read when they
are drawn.
"""

import functools
import io
import os
from pathlib import Path

import numpy as np

from speechbrain_dfkd.data.audio_check import WavFile
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import full_disk_is_user_error, write_atomically

_FIELDS = ["path", "sample_rate", "frames"]


def write_recordings(path, wavs):
    """Write a table of recordings, sorted by their paths.

    Arguments
    ---------
    path : str or Path
        The ``.npy`` file.
    wavs : iterable of WavFile
        Checked recordings.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "speech.npy"
    >>> write_recordings(path, [WavFile(Path("/clean/a.wav"), 16000, 800)])
    >>> Recordings(path)[0].path
    '/clean/a.wav'
    """
    path = Path(path)
    rows = sorted(
        (os.fsencode(wav.path.absolute()), wav.sample_rate, wav.frames)
        for wav in wavs
    )
    longest = max((len(name) for name, _, _ in rows), default=1)
    formats = [f"S{longest}", "<i4", "<i8"]
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows, list(zip(_FIELDS, formats, strict=True))))
    data = buffer.getvalue()
    with full_disk_is_user_error(path.parent, lambda: len(data)):
        write_atomically(path, data)


class Recordings:
    """The recordings of a table, in its order.

    Arguments
    ---------
    path : str or Path
        What ``write_recordings`` wrote.

    Raises
    ------
    UserError
        If it is missing, holds something else, or no recordings.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._rows = self._mapped()

    def _mapped(self):
        try:
            rows = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error
        if rows.dtype.names != tuple(_FIELDS) or not len(rows):
            raise self._unusable("none")
        return rows

    def _unusable(self, found):
        return UserError(
            f"{self.path} must list recordings, got {found}; run the recipe "
            "without skip_prep to write it again"
        )

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index: int) -> WavFile:
        name, sample_rate, frames = self._rows[index]
        return WavFile(os.fsdecode(name), int(sample_rate), int(frames))

    def draw(self, rng: np.random.Generator, by_duration: bool = False):
        """Return a random recording.

        Arguments
        ---------
        rng : np.random.Generator
            Takes one draw.
        by_duration : bool
            Whether a recording that is twice as long is twice as likely;
            otherwise all are equally likely.

        Returns
        -------
        WavFile
        """
        if not by_duration:
            return self[int(rng.integers(len(self)))]
        position = rng.integers(self._ends[-1])
        return self[int(np.searchsorted(self._ends, position, "right"))]

    @functools.cached_property
    def _ends(self):
        return np.cumsum(self._rows["frames"])

    def __getstate__(self):
        # A process that is started anew maps the file itself.
        return {"path": self.path}

    def __setstate__(self, state):
        self.__init__(state["path"])
