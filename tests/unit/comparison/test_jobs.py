"""Processes side by side: none outlives the command, a failure ends all."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from speechbrain_dfkd.comparison import jobs
from speechbrain_dfkd.comparison.jobs import JobProcess, run_side_by_side
from speechbrain_dfkd.errors import UserError

ROOT = Path(__file__).parents[3]
PYTHON = sys.executable


class Stub:
    """Ends after some polls; notes how many run at a time."""

    running = []

    def __init__(self, name, polls=2, fails=False):
        self.name, self.polls, self.fails = name, polls, fails
        self.stopped = False
        Stub.running.append(self)

    def has_ended(self):
        self.polls -= 1
        if self.polls < 0 and self.fails:
            raise UserError(f"{self.name} failed")
        return self.polls < 0

    def stop(self):
        self.stopped = True
        Stub.running.remove(self)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(Stub, "running", [])


def test_new_jobs_are_started_as_they_become_known():
    started, finished, most = [], [], []

    def known():
        names = ["a", "b", "c"] + (["d", "e"] if "a" in finished else [])
        return {name: name for name in names if name not in finished}

    def start(name, card):
        started.append(name)
        stub = Stub(name)
        most.append(len(Stub.running))
        return stub

    run_side_by_side(known, start, finished.append, 2)
    assert started == ["a", "b", "c", "d", "e"]
    assert sorted(finished) == started
    assert max(most) == 2
    assert Stub.running == []


def test_failure_stops_the_others():
    def start(name, card):
        return Stub(name, polls=3 if name == "b" else 10**9, fails=True)

    names = {name: name for name in "abc"}
    with pytest.raises(UserError, match="b failed"):
        run_side_by_side(lambda: names, start, pytest.fail, 3)
    assert Stub.running == []


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """Let the interpreter of jobs be a script that takes a job's place."""

    def install(code):
        script = tmp_path / "python"
        script.write_text(f"#!{PYTHON}\n{textwrap.dedent(code)}")
        script.chmod(0o755)
        monkeypatch.setattr(jobs.sys, "executable", str(script))

    return install


def test_failed_job_shows_its_last_lines(scripted, tmp_path):
    log = tmp_path / "runs/a/job.log"
    log.parent.mkdir(parents=True)
    log.write_text("of an earlier run\n")
    scripted("""
        import sys
        print(*range(40), sep="\\n")
        print("error: lr must be big", file=sys.stderr)
        sys.exit(2)
    """)
    with pytest.raises(UserError) as caught:
        JobProcess("a", [], log, {}).wait()
    message = str(caught.value)
    assert "a must end well, got exit code 2" in message
    assert "  39\n" in message and "  25\n" not in message
    assert "error: lr must be big" in message and str(log) in message
    assert log.read_text().startswith("of an earlier run\n0\n")


def test_side_by_side_means_one_thread_each(scripted, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    scripted("import os\nprint(os.environ['OMP_NUM_THREADS'])")
    for side_by_side, threads in ((1, "7"), (2, "1")):
        log = tmp_path / f"{side_by_side}.log"
        JobProcess("a", [], log, jobs.shared_environment(side_by_side)).wait()
        assert log.read_text() == f"{threads}\n"


PARENT = """
import signal, sys, time
from pathlib import Path
from speechbrain_dfkd.comparison.jobs import JobProcess
# A shell that starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.executable = sys.argv[1]
job = JobProcess("a", [], Path(sys.argv[2]), {})
time.sleep(900)
"""
CHILD = """
    import os, subprocess, time
    from speechbrain_dfkd.settings.command_line import exit_code
    def run(argv, recipe_folder):
        worker = subprocess.Popen(["sleep", "900"], stdin=subprocess.DEVNULL)
        print(os.getpid(), worker.pid, flush=True)
        time.sleep(900)
    exit_code(run, [], "")
"""


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


def wait_for(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_job_and_its_workers_end_with_the_command(end, scripted, tmp_path):
    scripted(CHILD)
    log = tmp_path / "job.log"
    parent = subprocess.Popen(
        [PYTHON, "-c", PARENT, sys.executable, str(log)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: log.exists() and len(log.read_text().split()) == 2)
    pids = [int(word) for word in log.read_text().split()]
    assert all(map(is_alive, pids))
    parent.send_signal(end)
    parent.wait()
    wait_for(lambda: not any(map(is_alive, pids)))
