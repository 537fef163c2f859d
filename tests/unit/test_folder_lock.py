"""A folder is one command's until that ends, however it does."""

import errno
import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from speechbrain_dfkd import folder_lock
from speechbrain_dfkd.comparison import comparison
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.folder_lock import (
    empty_folder,
    hold_folder,
    hold_if_writable,
)

ROOT = Path(__file__).parents[2]
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from speechbrain_dfkd.folder_lock import hold_folder
with hold_folder(Path(sys.argv[1])):
    job = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(job.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Return a folder and the process that holds it, whose child lives on."""
    folder = tmp_path / "results/run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    job = int(process.stdout.readline())
    yield folder, process
    process.kill()
    process.communicate()
    os.kill(job, signal.SIGKILL)


def test_a_second_command_waits_until_the_first_is_killed(holder, capsys):
    folder, process = holder
    name = f"process {process.pid} on {platform.node()}"
    with pytest.raises(UserError, match=f"run, which is being used by {name}"):
        with hold_folder(folder, waits=False):
            pytest.fail("two hold it")
    threading.Timer(0.3, process.kill).start()
    with hold_folder(folder):
        assert process.wait() == -signal.SIGKILL
    line = f"{folder} is being used by {name}; waiting for it\n"
    assert capsys.readouterr().out == line


def test_a_process_does_not_wait_for_itself(tmp_path):
    with hold_folder(tmp_path):
        with pytest.raises(UserError, match="used by this one; choose another"):
            with hold_folder(tmp_path):
                pytest.fail("twice")


def test_an_error_in_the_body_releases_the_folder(tmp_path):
    with pytest.raises(KeyError), hold_folder(tmp_path):
        raise KeyError
    with hold_folder(tmp_path, waits=False):
        pass


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks"), NotImplementedError("flock")]
)
def test_a_file_system_without_locks_is_used_and_said(
    tmp_path, monkeypatch, capsys, error
):
    def acquire(lock, **options):
        raise error

    monkeypatch.setattr(folder_lock.FileLock, "acquire", acquire)
    with hold_folder(tmp_path):
        (tmp_path / "file").touch()
    assert "on a file system without locks" in capsys.readouterr().out


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match="results.*: Not a directory"):
        with hold_folder(tmp_path / "results/run"):
            pytest.fail("there is no such folder")


def test_what_is_there_to_be_read_needs_no_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock.os, "access", lambda path, mode: False)
    with hold_if_writable(tmp_path):
        assert not list(tmp_path.iterdir())
    with hold_if_writable(tmp_path / "new"):
        assert (tmp_path / "new/.lock").exists()


def test_emptied_folder_is_still_held(tmp_path):
    with hold_folder(tmp_path):
        (tmp_path / "save").mkdir()
        (tmp_path / "save/file").touch()
        (tmp_path / "log.txt").touch()
        before = sorted(tmp_path.glob(".*"))
        empty_folder(tmp_path)
        assert sorted(tmp_path.iterdir()) == before


def test_a_command_holds_its_folder_from_the_first_check_on(
    tmp_path, monkeypatch, capsys
):
    codes = []

    class Stub:
        def __init__(self, *arguments):
            self.folder = tmp_path

        def check(self):
            assert not codes, "the second command went on"
            codes.append(None)
            codes.append(comparison.compare(["a.yaml", "b.yaml"], tmp_path))

        def run(self):
            pass

    monkeypatch.setattr(comparison, "write_comparison_report", print)
    monkeypatch.setattr(comparison, "Comparison", Stub)
    assert comparison.compare(["a.yaml", "b.yaml"], tmp_path) == 0
    assert codes == [None, 2]
    assert (
        "error: a folder must be used by one command" in capsys.readouterr().err
    )
