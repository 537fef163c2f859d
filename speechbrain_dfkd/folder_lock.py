"""Keeps a folder to one command at a time."""

import errno
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from speechbrain.utils.distributed import if_main_process, main_process_only

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import unwritable_is_user_error

LOCK_FILE = ".lock"
_HOLDER_FILE = ".lock_holder"
# Between two rounds in which the processes of one training agree to wait: well
# below the time that their communication allows.
_ROUND_SECONDS = 30
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextmanager
def hold_folder(folder: Path, waits: bool = True) -> Iterator[None]:
    """Hold a folder, made if needed, and say what keeps from writing there."""
    folder = Path(folder)
    with unwritable_is_user_error(folder):
        if if_main_process():
            folder.mkdir(parents=True, exist_ok=True)
        # The system releases it with the process, even after a kill.
        lock = FileLock(folder / LOCK_FILE)
        _wait(lock, folder, waits)
        try:
            yield
        finally:
            if if_main_process():
                (folder / _HOLDER_FILE).unlink(missing_ok=True)
                lock.release()


def hold_if_writable(folder: Path) -> AbstractContextManager:
    """Return ``hold_folder``, without a lock for what can only be read."""
    if Path(folder).is_dir() and not os.access(folder, os.W_OK):
        return unwritable_is_user_error(Path(folder))
    return hold_folder(folder)


def empty_folder(folder: Path) -> None:
    """Remove all that is in a held folder, but what holds it."""
    for path in Path(folder).iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in (LOCK_FILE, _HOLDER_FILE):
            path.unlink()


def _wait(lock: FileLock, folder: Path, waits: bool) -> None:
    attempt = main_process_only(_attempt)
    holder = attempt(lock, folder, 0)
    if holder is None:
        return
    own = holder == _this_process()
    if own or not waits:
        remedy = "choose another folder for one of the two"
        raise UserError(
            f"a folder must be used by one command at a time, got {folder}, "
            f"which is being used by {'this one' if own else holder}; "
            f"{remedy if own else 'wait until it ends, or stop it'}"
        )
    if if_main_process():
        print(f"{folder} is being used by {holder}; waiting for it", flush=True)
    while attempt(lock, folder, _ROUND_SECONDS) is not None:
        pass


def _attempt(lock: FileLock, folder: Path, seconds: float) -> str | None:
    """Return None once the lock is held, else who holds it."""
    note = folder / _HOLDER_FILE
    try:
        lock.acquire(timeout=seconds, poll_interval=0.2)
    except Timeout:
        return note.read_text() if note.exists() else "another process"
    except (NotImplementedError, OSError) as error:
        if getattr(error, "errno", errno.ENOSYS) not in _NO_LOCKS:
            raise
        print(
            f"{folder} is on a file system without locks ({error}): start no "
            f"other command for it before this one ends",
            flush=True,
        )
        return None
    note.write_text(_this_process())
    return None


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node()}"
