"""What the user of a folder can put right is told from what is a bug."""

import errno
import os

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import unwritable_is_user_error


def raised(folder, number, *path):
    """Raise what the system would; return what becomes of it."""
    error = OSError(number, os.strerror(number), *map(str, path))
    with pytest.raises((UserError, OSError)) as info:
        with unwritable_is_user_error(folder):
            raise error
    return info.value


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_anywhere_is_the_users(tmp_path, number):
    error = raised(tmp_path, number)  # write() does not say where
    assert isinstance(error, UserError)
    assert f"got {tmp_path}: {os.strerror(number)}" in str(error)
    assert "/tmp/elsewhere" in str(raised(tmp_path, number, "/tmp/elsewhere"))


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST]
)
def test_what_cannot_be_written_is_the_users_in_the_folder(tmp_path, number):
    run = tmp_path / "results/run"
    for path in (run / "save/CKPT", run, run.parent):
        assert isinstance(raised(run, number, path), UserError)
    for path in (tmp_path / "results/run2/x", "/home/user/my_module.cfg"):
        assert isinstance(raised(run, number, path), OSError)
    assert isinstance(raised(run, number), OSError), "it may be anything"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EBADF, errno.EPIPE])
def test_what_may_be_a_bug_keeps_its_traceback(tmp_path, number):
    error = raised(tmp_path, number, tmp_path / "train.json")
    assert error.errno == number
