"""Jobs: one training each, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from joblib import cpu_count

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD
from speechbrain_dfkd.settings.command_line import ENDS_WITH_PARENT


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
    """Return hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


_POLL_SECONDS = 0.2
_LAST_LINES = 15


class JobProcess:
    """A script of a recipe under way, in a process that ends with this one.

    It reads a pipe that closes when this process ends, however that happens,
    and then kills itself with the workers it has started. All it prints is
    appended to a log file. Where several may run side by side, it gets one
    thread, and its share of the cores for scoring.
    """

    def __init__(
        self, label: str, words: list, log: Path, side_by_side: int = 1
    ):
        self.label, self.log = label, log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, ENDS_WITH_PARENT: "1"}
        if side_by_side > 1:
            cores = max(1, cpu_count() // side_by_side)
            environment |= {**ONE_THREAD, "LOKY_MAX_CPU_COUNT": str(cores)}
        with log.open("ab") as stream:
            self._start_of_log = stream.tell()
            self._process = subprocess.Popen(
                [sys.executable, *map(str, words)],
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

    If one fails, or this is interrupted, the others are stopped. ``known()``
    returns ``{name: job}`` of the jobs that are not finished, in the order in
    which to start them; ``start(job)`` returns its ``JobProcess``.
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
