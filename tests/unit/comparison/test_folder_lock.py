"""A second command in a comparison's folder is refused until the first ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechbrain_dfkd.comparison import command
from speechbrain_dfkd.comparison.folder_lock import lock_folder
from speechbrain_dfkd.errors import UserError

ROOT = Path(__file__).parents[3]
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from speechbrain_dfkd.comparison.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    job = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(job.pid, flush=True)
    time.sleep(60)
"""


def test_a_kill_releases_the_folder_though_a_job_lives_on(tmp_path):
    folder = tmp_path / "results/comparison-toy"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    job = int(holder.stdout.readline())
    try:
        with pytest.raises(UserError, match="got another one at work in .*toy"):
            with lock_folder(folder):
                pytest.fail("two hold it")
        holder.kill()
        holder.communicate()
        with lock_folder(folder):
            os.kill(job, 0)  # it is alive
    finally:
        holder.kill()
        os.kill(job, 9)


def test_an_error_in_the_body_releases_the_folder(tmp_path):
    with pytest.raises(KeyError), lock_folder(tmp_path):
        raise KeyError
    with lock_folder(tmp_path):
        pass


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
            codes.append(command.compare(["a.yaml", "b.yaml"], tmp_path))

        def is_finished(self):
            return True

    for name in ("read_plan", "read_base_command", "write_comparison_report"):
        monkeypatch.setattr(command, name, print)
    monkeypatch.setattr(command, "Comparison", Stub)
    assert command.compare(["a.yaml", "b.yaml"], tmp_path) == 0
    assert codes == [None, 2]
    assert "error: a comparison must be run by one" in capsys.readouterr().err
