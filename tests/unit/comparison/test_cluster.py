"""Jobs on a cluster: its keys, its queue, and submitit's local executor."""

import json
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from speechbrain_dfkd.comparison import cluster as cluster_module
from speechbrain_dfkd.comparison.cluster import (
    ClusterJob,
    Training,
    require_cluster,
)
from speechbrain_dfkd.comparison.plan import Cluster
from speechbrain_dfkd.errors import UserError

submitit = pytest.importorskip("submitit")
LOCAL = Cluster(executor="local", minutes=5, cores=3, cards=0)
SLURM = Cluster(executor="slurm", minutes=5, cores=3, cards=1)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put commands on the path that answer as SLURM's do."""

    def install(**scripts):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        cluster_module._queue.cache_clear()
        return folder

    monkeypatch.setitem(cluster_module._POLL_SECONDS, "slurm", 0.001)
    return install


def wait(job, seconds=120):
    deadline = time.monotonic() + seconds
    while not job.has_ended():
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.05)


def test_what_is_missing_is_said_before_anything_is_done(monkeypatch):
    require_cluster(None)
    require_cluster(LOCAL)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="got no sbatch; start"):
        require_cluster(SLURM)
    monkeypatch.setattr(
        cluster_module.importlib.util, "find_spec", lambda name: None
    )
    with pytest.raises(UserError, match="submitit must be .*pip install"):
        require_cluster(LOCAL)


def test_a_job_is_submitted_with_its_options(slurm, tmp_path):
    slurm(sbatch='cp "$1" "$(dirname "$0")/sent"\necho "job 12"', srun="")
    options = {"partition": "gpu", "mem": "32G", "requeue": True}
    asked = Cluster("slurm", 90, 3, 1, options)
    log = tmp_path / "run/job.log"
    job = ClusterJob("the teacher", ["a.py"], log, asked)
    sent = (tmp_path / "bin/sent").read_text()
    for line in (
        "--time=90", "--cpus-per-task=3", "--gpus-per-node=1", "--mem=32G",
        "--partition=gpu", "--requeue", "--job-name=the_teacher",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in sent
    assert sys.executable in sent
    assert job._job.submission().function == Training(
        "the teacher", ["a.py"], log, 3
    )


def test_what_slurm_refuses_is_the_users_error(slurm, tmp_path):
    slurm(sbatch="echo invalid partition >&2; exit 1", srun="")
    with pytest.raises(UserError, match="SLURM accepts, got: invalid part"):
        ClusterJob("a", ["a.py"], tmp_path / "run/job.log", SLURM)


def test_a_queued_job_is_found_again_and_left_there(slurm, tmp_path, capsys):
    sent = tmp_path / "sent"
    slurm(sbatch=f"echo x >> {sent}\necho job 12", srun="", squeue="echo 12")
    log = tmp_path / "run/job.log"

    def start(*words):
        return ClusterJob("a", [*words], log, SLURM)

    job = start("a.py")
    for _ in range(20):
        assert not job.has_ended()
        time.sleep(0.002)
    job.stop()
    assert "a stays in the cluster's queue" in capsys.readouterr().out
    assert start("a.py")._job.job_id == "12"
    assert sent.read_text() == "x\n", "it must not be submitted twice"
    with pytest.raises(UserError, match="job 12; give .* scancel 12"):
        start("a.py", "--lr", "1")
    slurm(squeue="exit 1")  # the controller does not answer
    assert not start("a.py").has_ended()
    assert sent.read_text() == "x\n"
    slurm(squeue="echo 13")
    job = start("a.py")
    assert sent.read_text() == "x\nx\n", "it has left the queue"
    with pytest.raises(UserError, match="a must end well, got no result from"):
        wait(job)


def test_a_job_that_submitit_ended_is_the_users_error(slurm, tmp_path):
    slurm(sbatch="echo job 12", srun="", squeue="echo 12")
    job = ClusterJob("a", ["a.py"], tmp_path / "run/job.log", SLURM)
    ended = ("error", "Job not requeued because: timed-out too many times.")
    path = job._job.paths.result_pickle
    submitit.core.utils.cloudpickle_dump(ended, path)
    with pytest.raises(UserError, match="(?s)a must end well.*too many times"):
        wait(job)


RECORD = """
    import json, os, signal, sys, time
    from pathlib import Path
    folder = Path(sys.argv[1])
    names = "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "CUDA_VISIBLE_DEVICES"
    record = {name: os.environ.get(name) for name in names}
    (folder / "record").write_text(json.dumps({**record, "cwd": os.getcwd()}))
    if sys.argv[2] == "fails":
        sys.exit("error: lr must be big")
    if not (folder / "half").exists():
        (folder / "half").touch()
        time.sleep(600)
    print("the other half")
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Start a script by submitit on this machine, as if on a cluster."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(RECORD))
    started = []

    def start(*words):
        words = [str(script), str(tmp_path), *words]
        started.append(ClusterJob("a", words, tmp_path / "run/job.log", LOCAL))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.mark.slow
def test_a_requeued_job_goes_on(job, tmp_path):
    running = job("ends")
    while not (tmp_path / "half").exists():
        assert not running.has_ended()
        time.sleep(0.05)
    # What a cluster sends to a job before its time is over.
    controller = running._job._process.pid
    children = Path(f"/proc/{controller}/task/{controller}/children")
    os.kill(int(children.read_text()), signal.SIGUSR2)
    wait(running)
    record = json.loads((tmp_path / "record").read_text())
    assert record["OMP_NUM_THREADS"] == record["LOKY_MAX_CPU_COUNT"] == "3"
    assert record["CUDA_VISIBLE_DEVICES"] == ""
    assert record["cwd"] == str(Path.cwd())
    assert "the other half" in (tmp_path / "run/job.log").read_text()
    assert "Requeued job" in running._job.stderr() + running._job.stdout()


@pytest.mark.slow
def test_a_failed_job_shows_its_last_lines(job, tmp_path):
    log = tmp_path / "run/job.log"
    log.parent.mkdir()
    log.write_text("of an earlier run\n")
    with pytest.raises(UserError) as caught:
        wait(job("fails"))
    message = str(caught.value)
    assert "a must end well, got exit code 1" in message
    assert "error: lr must be big" in message and str(log) in message
    assert "of an earlier run" not in message


def test_a_script_ended_by_the_cluster_did_not_fail(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(cluster_module.time, "sleep", slept.append)
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    log = tmp_path / "job.log"
    assert "signal 15" in Training("a", ["-c", code], log, 1)()
    assert slept[-1] == cluster_module._LEAVES_WITHIN_SECONDS
    assert signal.SIGUSR2 in cluster_module._LEAVES
