"""What the user of a folder can put right is told from what is a bug."""

import errno
import os

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import stable_hash, unwritable_is_user_error
from speechbrain_dfkd.settings.command_line import exit_code


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


def ended(number, *path):
    """Return the exit code of a recipe that meets the system's error."""

    def run(argv, recipe_folder):
        raise OSError(number, os.strerror(number), *path)

    return exit_code(run, [], ".")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_recipe_names_what_it_may_not_write(capsys, number):
    assert ended(number, "/data/clean.csv") == 2
    assert capsys.readouterr().err == (
        "\nerror: a folder must be writable and have room, got "
        f"/data/clean.csv: {os.strerror(number)}; free some space, change its "
        "permissions or choose another folder: the same command then goes on\n"
    )
    with pytest.raises(OSError):  # of a process, for example
        ended(number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_recipe_says_that_a_disk_is_full(capsys, number):
    assert ended(number) == ended(number, "/data/clean.csv") == 2
    without, named = capsys.readouterr().err.strip().split("\n\n")
    assert f"was written to: {os.strerror(number)}; free some" in without
    assert f"got /data/clean.csv: {os.strerror(number)}; free some" in named


@pytest.mark.parametrize("number", [errno.ENOTDIR, errno.EEXIST, errno.ENOENT])
def test_a_bug_in_a_recipe_keeps_its_traceback(number):
    with pytest.raises(OSError):
        ended(number, "/data/clean.csv")


def test_a_hash_is_a_function_of_its_key_alone():
    assert stable_hash(1, "a") == stable_hash("1/a") != stable_hash(2, "a")
    assert 0 <= stable_hash("a") < 2**64
