"""Jobs of a comparison on a cluster, submitted by submitit."""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechbrain_dfkd.comparison.jobs import JobProcess, RunningJob
from speechbrain_dfkd.comparison.plan import Cluster
from speechbrain_dfkd.errors import UserError, require
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD

if TYPE_CHECKING:  # it need not be installed
    import submitit

_SUBMITTED = "_submitted.pkl"  # submitit puts a job's id before it
_POLL_SECONDS = {"slurm": 10.0, "local": 0.5}
_MOST_MISSED = 6  # polls without a job: its result may be on its way
# A training goes on after this many ends of its time, in one submission.
_MOST_TIMEOUTS = 100
# SLURM signals all processes of a job that is to leave its node; submitit
# answers the second by a requeue. A script that ended by one did not fail.
_LEAVES = (signal.SIGTERM, signal.SIGUSR2)
_LEAVES_WITHIN_SECONDS = 300


def require_cluster(cluster: Cluster | None) -> None:
    """Refuse, before anything is done, a cluster that cannot be reached."""
    if not cluster:
        return
    found = importlib.util.find_spec("submitit")
    advice = 'pip install -e ".[cluster]"'
    must = "installed for a cluster"
    require("submitit", found is not None, must, "none", advice)
    fit = cluster.executor != "slurm" or shutil.which("sbatch") is not None
    must = "slurm only where SLURM's commands are"
    advice = "start compare.py on the cluster's login node"
    require("executor of cluster", fit, must, "no sbatch", advice)


@dataclass
class Training:
    """What a job does on its node, again after a requeue."""

    label: str
    words: list
    log: Path
    cores: int

    def __call__(self) -> str | None:
        """Run the script to its end; return why it did not end well."""
        names = [*ONE_THREAD, "LOKY_MAX_CPU_COUNT"]
        variables = dict.fromkeys(names, str(self.cores))
        process = JobProcess(self.label, self.words, self.log, variables)
        try:
            process.wait()
        except UserError as error:
            if process.ended_by in _LEAVES:
                time.sleep(_LEAVES_WITHIN_SECONDS)
            return str(error)
        return None

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Let submitit requeue it: the script goes on from its checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class ClusterJob(RunningJob):
    """A script of a recipe, queued or running on a cluster.

    One that is there from an earlier start of the command is found again.
    """

    def __init__(self, label: str, words: list, log: Path, cluster: Cluster):
        super().__init__(label, log.absolute())
        self._asked, self._missed, self._ended = 0.0, 0, False
        folder = self.log.parent / "cluster"
        training = Training(label, words, self.log, cluster.cores)
        self._executor = cluster.executor
        self._job = self._executor == "slurm" and _find(folder, training)
        if not self._job:
            shutil.rmtree(folder, ignore_errors=True)
            self._job = _submit(folder, training, cluster)

    def has_ended(self) -> bool:
        """Tell whether it has ended; its last lines if it did not end well."""
        now, job = time.monotonic(), self._job
        if now - self._asked < _POLL_SECONDS[self._executor]:
            return False
        self._asked = now
        if not job.paths.result_pickle.exists():
            is_slurm = self._executor == "slurm"
            is_gone = not _is_queued(job.job_id) if is_slurm else job.done()
            self._missed = self._missed + 1 if is_gone else 0
            if self._missed < _MOST_MISSED:
                return False
        self._ended = True
        lost = self._missed == _MOST_MISSED
        if error := "no result" if lost else job.exception():
            how = f"{error} from job {job.job_id} ({job.paths.stderr})"
            raise self._bad_end(how)
        if message := job.result():
            raise UserError(message)
        return True

    def stop(self) -> None:
        """Leave it in the queue, where the same command finds it."""
        if self._executor == "local":
            self._job.cancel()
        elif not self._ended:
            print(
                f"{self.label} stays in the cluster's queue, where the same "
                f"command finds it; or: scancel {self._job.job_id}",
                flush=True,
            )


def _is_queued(job_id: str) -> bool:
    """Tell whether SLURM has a job; that it does not answer is no answer."""
    jobs = _queue(int(time.monotonic() / _POLL_SECONDS["slurm"]))
    return jobs is None or job_id in jobs


# By squeue, once for all jobs: sacct is not on every cluster.
@functools.lru_cache(maxsize=1)
def _queue(period: int) -> list | None:
    words = ["squeue", "--me", "--noheader", "--format=%A"]
    answer = subprocess.run(words, capture_output=True, text=True)
    return None if answer.returncode else answer.stdout.split()


def _find(folder: Path, training: Training) -> "submitit.Job | None":
    """Return the job that was submitted before and has not ended."""
    import submitit

    for path in folder.glob(f"*{_SUBMITTED}"):
        job = submitit.SlurmJob(folder, path.name.removesuffix(_SUBMITTED))
        if job.paths.result_pickle.exists() or not _is_queued(job.job_id):
            continue
        if job.submission().function.words != training.words:
            raise UserError(
                f"{training.label} must keep its settings while it is queued, "
                f"got others than those of job {job.job_id}; give them back, "
                f"or cancel it: scancel {job.job_id}"
            )
        return job
    return None


def _submit(
    folder: Path, training: Training, cluster: Cluster
) -> "submitit.Job":
    """Hand a training over to the cluster."""
    import submitit

    most = {f"{cluster.executor}_max_num_timeout": _MOST_TIMEOUTS}
    executor = submitit.AutoExecutor(folder, cluster=cluster.executor, **most)
    executor.update_parameters(
        name=training.label.replace(" ", "_"),
        timeout_min=cluster.minutes,
        cpus_per_task=cluster.cores,
        gpus_per_node=cluster.cards or None,
        slurm_additional_parameters=cluster.options,
    )
    # Where the command is a job itself, only these of its variables hold.
    kept = {k: v for k, v in os.environ.items() if k == "SLURM_CONF"}
    try:
        with submitit.helpers.clean_env():
            os.environ.update(kept)
            return executor.submit(training)
    except submitit.core.utils.FailedJobError as error:
        raise UserError(
            f"cluster must be what SLURM accepts, got: {error}; correct the "
            f"comparison file"
        ) from error
