"""Keeps a comparison's folder to one command at a time."""

import contextlib

# Of Linux and macOS, as are the process groups of jobs.
import fcntl
from collections.abc import Iterator
from pathlib import Path

from speechbrain_dfkd.errors import UserError

LOCK_FILE = ".lock"


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder while the body of the ``with`` statement runs.

    Arguments
    ---------
    folder : Path
        Made if it is not there; gets a file ``.lock``, which stays.

    Raises
    ------
    UserError
        If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "w") as stream:
        try:
            # It belongs to the open file, which jobs do not inherit: the system
            # releases it when this process ends, even by a kill.
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"a comparison must be run by one command at a time, got "
                f"another one at work in {folder}; wait until it ends, or stop "
                f"it, or call the comparison by another name"
            ) from error
        yield
