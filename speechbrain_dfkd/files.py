"""Files that are whole or not there, and a hash of content."""

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from pathlib import Path

from speechbrain_dfkd.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
# Nobody's mistake but that of who chose the folder, where it is about that one.
_UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST,
    errno.EISDIR, errno.ENAMETOOLONG,
)  # fmt: skip


def write_atomically(path: Path, data: bytes):
    """Write ``data`` to ``path`` so that no reader sees a part of it.

    Arguments
    ---------
    path : Path
        Its folder is made if it is not there.
    data : bytes
        The whole content.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "a" / "greeting"
    >>> write_atomically(path, b"hello")
    >>> path.read_bytes()
    b'hello'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two runs may prepare the same folder at once.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _no_room(folder, needed):
    free = shutil.disk_usage(folder).free
    return UserError(
        f"The disk of {folder} must have room for {needed} more bytes, got "
        f"{free} free; free some space or choose another folder, then start "
        "again: what is finished is kept"
    )


def require_room(folder: Path, needed: int):
    """Raise a ``UserError`` unless ``folder``'s disk has ``needed`` bytes."""
    if shutil.disk_usage(folder).free < needed:
        raise _no_room(folder, needed)


@contextlib.contextmanager
def full_disk_is_user_error(folder: Path, needed):
    """Turn "no space left" and "quota exceeded" into a ``UserError``.

    Arguments
    ---------
    folder : Path
        Where the body of the ``with`` statement writes.
    needed : callable
        Returns the bytes that are still to be written; called on failure.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _no_room(folder, needed()) from error


@contextlib.contextmanager
def unwritable_is_user_error(folder: Path):
    """Turn what keeps a folder from being written into a ``UserError``.

    A full disk counts wherever it is met, all else for the folder, what is in
    it and what it is in.

    Arguments
    ---------
    folder : Path
        Where the body of the ``with`` statement writes.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "results"
    >>> path.touch()
    >>> with unwritable_is_user_error(path / "run"):
    ...     (path / "run").mkdir()
    Traceback (most recent call last):
    speechbrain_dfkd.errors.UserError: a folder must be writable and have \
room, got ...
    """
    try:
        yield
    except OSError as error:
        about = Path(error.filename or folder)
        concerned = folder in (about, *about.parents) or about in folder.parents
        if error.errno not in FULL and not (
            error.errno in _UNWRITABLE and error.filename and concerned
        ):
            raise
        raise UserError(
            f"a folder must be writable and have room, got {about}: "
            f"{error.strerror}; free some space, change its permissions or "
            f"choose another folder: the same command then goes on"
        ) from error


def stable_hash(*key) -> int:
    """Return an integer of 64 bits that is a function of a key alone.

    Arguments
    ---------
    key : int, str or Path
        Parts of the key.

    Example
    -------
    >>> stable_hash(1, "a") == stable_hash("1/a") != stable_hash(2, "a")
    True
    """
    # File names need not be UTF-8.
    text = os.fsencode("/".join(map(str, key)))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
