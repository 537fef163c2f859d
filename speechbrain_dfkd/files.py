"""Files that are whole or not there, and a hash of content."""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

from speechbrain_dfkd.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
# Nobody's mistake but that of who chose the folder, where it is about that one.
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)


def stats(paths: Iterable[str | Path]) -> list[os.stat_result | None]:
    """Return what the system knows of files, None of those not to be found."""
    # Many at once: over a network each answer takes a millisecond.
    with ThreadPool(16) as pool:
        return pool.map(_stat, paths, 256)


def _stat(path: str | Path) -> os.stat_result | None:
    with contextlib.suppress(OSError, ValueError):
        return os.stat(path)


def write_atomically(path: Path, data: bytes) -> None:
    """Write so that no reader sees a part of it; make the folder if needed."""
    # A name of its own: two runs may prepare the same folder at once.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        try:
            part.write_bytes(data)
        except FileNotFoundError:  # asking first would take its time each time
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def unwritable_is_user_error(folder: Path | None = None) -> Iterator[None]:
    """Turn what keeps the body from writing into a ``UserError``."""
    try:
        yield
    except OSError as error:
        if not _is_users(error, folder):
            raise
        about = error.filename or folder or "the one that was written to"
        raise UserError(
            f"a folder must be writable and have room, got {about}: "
            f"{error.strerror}; free some space, change its permissions or "
            f"choose another folder: the same command then goes on"
        ) from error


def _is_users(error: OSError, folder: Path | None) -> bool:
    # A full disk counts wherever it is met; all else for the folder, what is in
    # it and what it is in, or without a folder where access is denied.
    if error.errno in _FULL:
        return True
    if not error.filename:  # it may be anything
        return False
    if folder is None:
        return error.errno in _FORBIDDEN
    about = Path(error.filename)
    concerned = folder in (about, *about.parents) or about in folder.parents
    return concerned and error.errno in _FORBIDDEN + _NO_FOLDER


def stable_hash(*key: int | str | Path) -> int:
    """Return an integer of 64 bits that is a function of a key alone."""
    # File names need not be UTF-8.
    text = os.fsencode("/".join(map(str, key)))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
