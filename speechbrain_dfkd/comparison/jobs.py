"""Runs jobs side by side, each in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from joblib import cpu_count

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD

_POLL_SECONDS = 0.2
_LAST_LINES = 15


class JobProcess:
    """A training under way in a process that ends with this one.

    It reads a pipe that closes when this process ends, however that happens,
    and then kills itself with the workers it has started. All it prints goes to
    a log file.

    Arguments
    ---------
    label : str
        What it is, for a reader.
    arguments : list of str
        Of ``python -m speechbrain_dfkd.comparison.job_process``.
    log : Path
        Its output is appended.
    side_by_side : int
        How many processes may run at a time: above 1 it gets one thread, and
        its share of the cores for scoring.
    """

    def __init__(
        self, label: str, arguments: list, log: Path, side_by_side: int = 1
    ):
        self.label, self.log = label, log
        log.parent.mkdir(parents=True, exist_ok=True)
        module = "speechbrain_dfkd.comparison.job_process"
        with log.open("ab") as stream:
            self._start_of_log = stream.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(side_by_side),
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


def _environment(side_by_side):
    if side_by_side == 1:
        return None
    cores = max(1, cpu_count() // side_by_side)
    return {**os.environ, **ONE_THREAD, "LOKY_MAX_CPU_COUNT": str(cores)}


def run_side_by_side(
    known: Callable, start: Callable, finish: Callable, side_by_side: int
) -> None:
    """Run jobs until no other is known.

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

    Raises
    ------
    UserError
        If a job fails.
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

    Called in the process that ``JobProcess`` starts, which leads a group of
    its own. The other end is closed when the starter ends, even by a kill.
    """
    threading.Thread(target=_watch_input, daemon=True).start()


def _watch_input():
    while os.read(0, 1):
        pass
    os.killpg(os.getpid(), signal.SIGKILL)
