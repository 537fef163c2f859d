"""Jobs: one training each, in a process of its own."""

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import speechbrain as sb
from joblib import cpu_count
from speechbrain.utils.distributed import if_main_process

from speechbrain_dfkd.comparison.results import SPLITS, load_json, save_json
from speechbrain_dfkd.data.dataset import open_splits
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD
from speechbrain_dfkd.experiment import distil, get_ready, hold_run
from speechbrain_dfkd.settings.command_line import (
    DFKD_KEYS,
    exit_code,
    read_command,
)
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.teacher.loading import load_teacher
from speechbrain_dfkd.teacher.trained_network import EXPORT, export_enhancer
from speechbrain_dfkd.training.dfkd_brain import DFKDBrain
from speechbrain_dfkd.training.systems import SystemTester, Unprocessed


class Progress:
    """Prints a line when a job starts and when it has ended."""

    def __init__(self, total: int, done: int, side_by_side: int):
        self.total, self.done = total, done
        self.side_by_side = side_by_side
        self.seconds = []  # of the jobs finished now
        self.started_at = {}
        print(f"Jobs: {total}, {done} of them done before", flush=True)

    def started(self, name: str) -> None:
        """Note the start of a job."""
        self.started_at[name] = time.monotonic()
        print(f"{self._count()} started  {name}", flush=True)

    def finished(self, name: str) -> None:
        """Note the end of a job; say how long all will take."""
        self.seconds.append(time.monotonic() - self.started_at.pop(name))
        self.done += 1
        took = duration(self.seconds[-1])
        print(
            f"{self._count()} finished {name} in {took}; "
            f"about {duration(self.seconds_left())} left",
            flush=True,
        )

    def seconds_left(self) -> float:
        """Return the time that is left if jobs go on to take as long."""
        now = time.monotonic()
        mean = sum(self.seconds) / len(self.seconds)
        spent = sum(min(now - then, mean) for then in self.started_at.values())
        jobs = self.total - self.done
        return (jobs * mean - spent) / self.side_by_side

    def _count(self):
        width = len(str(self.total))
        return f"[{self.done:{width}}/{self.total}]"


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds.

    Example
    -------
    >>> duration(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))


TIMING_FILE = "timing.json"


class TimedBrain(DFKDBrain):
    """A ``DFKDBrain`` that writes how many steps it made, and their time.

    A step lasts from the end of the one before to its own end, so that waiting
    for data counts; checkpoints within an epoch hardly move a median. The
    medians of the epochs are in a file of their own: in a checkpoint they would
    go back with the weights to the best epoch.
    """

    def on_stage_start(self, stage, epoch=None):
        """Start the clock of an epoch's first step."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self._seconds = []
            self._last_end = time.perf_counter()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Stop the clock of a step and start that of the next."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        now = time.perf_counter()
        self._seconds.append(now - self._last_end)
        self._last_end = now

    def _finish_train(self, stage_loss, epoch):
        # Before the checkpoint that ends the epoch: it is not trained again.
        if if_main_process() and self._seconds:
            self._write_timing(epoch)
        super()._finish_train(stage_loss, epoch)

    def _write_timing(self, epoch):
        path = Path(self.hparams.output_folder, TIMING_FILE)
        timing = load_json(path) if path.exists() else {"seconds": {}}
        timing["seconds"][str(epoch)] = statistics.median(self._seconds)
        timing["steps"] = self.optimizer_step
        save_json(path, timing)


def read_timing(folder) -> dict:
    """Return a run's steps, and the median over epochs of an epoch's median.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> seconds = {"1": 9.0, "2": 2.0, "3": 3.0}
    >>> save_json(folder / TIMING_FILE, {"steps": 21, "seconds": seconds})
    >>> read_timing(folder)
    {'steps': 21, 'seconds_per_step': 3.0}
    """
    timing = load_json(Path(folder, TIMING_FILE))
    return {
        "steps": timing["steps"],
        "seconds_per_step": statistics.median(timing["seconds"].values()),
    }


_POLL_SECONDS = 0.2
_LAST_LINES = 15


class JobProcess:
    """A training under way in a process that ends with this one.

    It reads a pipe that closes when this process ends, however that happens,
    and then kills itself with the workers it has started. All it prints is
    appended to a log file. Where several may run side by side, it gets one
    thread, and its share of the cores for scoring.
    """

    def __init__(
        self, label: str, arguments: list, log: Path, side_by_side: int = 1
    ):
        self.label, self.log = label, log
        log.parent.mkdir(parents=True, exist_ok=True)
        module = "speechbrain_dfkd.comparison.jobs"
        environment = dict(os.environ)
        if side_by_side > 1:
            cores = max(1, cpu_count() // side_by_side)
            environment |= {**ONE_THREAD, "LOKY_MAX_CPU_COUNT": str(cores)}
        with log.open("ab") as stream:
            self._start_of_log = stream.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Tell whether the process has ended, well or not."""
        return self._process.poll() is not None

    def wait(self) -> None:
        """Wait for its end; stop it if this is interrupted."""
        try:
            self._process.wait()
        finally:
            self.stop()
        self.require_success()

    def stop(self) -> None:
        """Kill the process and its workers; its training can go on later."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of the group is left
        self._process.wait()
        self._process.stdin.close()

    def require_success(self) -> None:
        """Raise a ``UserError`` with the last lines of a job that failed."""
        code = self._process.returncode
        if code == 0:
            return
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {-code} (out of memory, perhaps)"
        raise UserError(
            f"{self.label} must end well, got {how} after\n"
            f"{listing(self._last_lines())}\nthe whole log: {self.log}\nput it "
            f"right; the same command goes on"
        )

    def _last_lines(self):
        with self.log.open("rb") as stream:
            stream.seek(self._start_of_log)
            lines = deque(stream, _LAST_LINES)
        return [line.decode(errors="replace").rstrip() for line in lines]


def run_side_by_side(
    known: Callable, start: Callable, finish: Callable, side_by_side: int
) -> None:
    """Run jobs until no other is known; a ``UserError`` if one fails.

    If one fails, or this is interrupted, the others are stopped.

    Arguments
    ---------
    known : callable
        Returns ``{name: job}`` of all jobs that are known and not finished, in
        the order in which to start them.
    start : callable
        Takes a job and returns its ``JobProcess``.
    finish : callable
        Takes a job that ended well; then ``known`` no longer returns it.
    side_by_side : int
        The most processes at a time.
    """
    running = {}
    try:
        while True:
            waiting = {k: v for k, v in known().items() if k not in running}
            for name in list(waiting)[: side_by_side - len(running)]:
                running[name] = (waiting[name], start(waiting[name]))
            if not running:
                return
            name = _first_to_end(running)
            job, process = running[name]
            process.require_success()
            process.stop()  # workers that it left behind
            finish(job)
            del running[name]
    finally:
        for _, process in running.values():
            process.stop()


def _first_to_end(running):
    while True:
        for name, (_, process) in running.items():
            if process.has_ended():
                return name
        time.sleep(_POLL_SECONDS)


def end_with_parent() -> None:
    """Kill this process and its workers as soon as standard input is closed.

    Its other end is closed when ``JobProcess``' own process ends, even by a
    kill; this one leads a group of its own.
    """
    threading.Thread(target=_watch_input, daemon=True).start()


def _watch_input():
    while os.read(0, 1):
        pass
    os.killpg(os.getpid(), signal.SIGKILL)


OUTCOME_FILE = "outcome.json"
# What to do: get the teacher and score it, or distil and score a student.
TEACH, DISTIL, DISTIL_AND_TEST = "teach", "distil", "distil-and-test"


def main(words: list) -> int:
    """Do one job; return its exit code.

    The words are what to do, the recipe's folder, and a command line of
    ``train_dfkd.py`` whose ``output_folder`` receives the result.
    """
    what, recipe_folder, *argv = words
    end_with_parent()
    sys.path.insert(0, recipe_folder)
    return exit_code(partial(_run, what), argv, recipe_folder)


def _run(what, argv, recipe_folder):
    # compare.py has announced what all jobs share.
    command = read_command(argv, recipe_folder, DFKD_KEYS, announce=False)
    with hold_run(command.configuration, command.run_opts):
        _TASKS[what](command)


def _teach(command):
    """Train the teacher unless it was; score it and the noisy input."""
    get_ready(command, teaches=True)
    hparams = command.configuration.build()
    teacher = load_teacher(hparams, command.configuration.settings())
    folder = Path(hparams["output_folder"])
    systems = {
        "noisy": (Unprocessed(), hparams["prepared_folder"]),
        "teacher": (teacher, folder),
    }
    datasets = open_splits(hparams)
    scores = {
        name: _scores(command, hparams, datasets, SPLITS, name, *system)
        for name, system in systems.items()
    }
    outcome = {"fingerprint": fingerprint(teacher), "systems": scores}
    save_json(folder / OUTCOME_FILE, outcome)


def _scores(command, hparams, datasets, splits, system, model, folder):
    return {
        split: SystemTester(hparams, command.run_opts, datasets[split], split)
        .scores(system, model, folder)
        .rows
        for split in splits
    }


def _distil(command, splits):
    get_ready(command)
    hparams, datasets, brain = distil(command, TimedBrain)
    folder = Path(hparams["output_folder"])
    student = hparams["student"]["model"]
    text, rate = command.configuration.text(), hparams["sample_rate"]
    export_enhancer(folder / EXPORT, text, "student", student, rate)
    scores = _scores(
        command, hparams, datasets, splits, "student", student, folder
    )
    outcome = {
        "valid": scores["valid"],
        "test": scores.get("test", {}),
        "kd_weight": brain.schedule.weight
        if brain.schedule.is_measured
        else None,
        **read_timing(folder),
    }
    save_json(folder / OUTCOME_FILE, outcome)


_TASKS = {
    TEACH: _teach,
    DISTIL: partial(_distil, splits=("valid",)),
    DISTIL_AND_TEST: partial(_distil, splits=SPLITS),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
