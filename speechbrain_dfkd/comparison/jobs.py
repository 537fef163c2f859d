"""Jobs: one training each, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from joblib import cpu_count

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD
from speechbrain_dfkd.settings.command_line import ENDS_WITH_PARENT

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
        """Tell whether it has ended; its last lines if it did not end well."""
        code = self._process.poll()
        if not code:
            return code == 0
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {-code} (out of memory, perhaps)"
        with self.log.open("rb") as stream:
            stream.seek(self._start_of_log)
            last = deque(stream, _LAST_LINES)
        lines = [line.decode(errors="replace").rstrip() for line in last]
        raise UserError(
            f"{self.label} must end well, got {how} after\n{listing(lines)}\n"
            f"the whole log: {self.log}\nput it right; the same command goes on"
        )

    def wait(self) -> None:
        """Wait for its end; stop it if this is interrupted."""
        try:
            while not self.has_ended():
                time.sleep(_POLL_SECONDS)
        finally:
            self.stop()

    def stop(self) -> None:
        """Kill the process and its workers; its training can go on later."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of the group is left
        self._process.wait()
        self._process.stdin.close()


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
            for name, job in known().items():
                if name not in running and len(running) < side_by_side:
                    running[name] = (job, start(job))
            if not running:
                return
            ended = []
            while not ended:
                time.sleep(_POLL_SECONDS)
                ended = [
                    k for k, (_, run) in running.items() if run.has_ended()
                ]
            for name in ended:
                job, process = running.pop(name)
                process.stop()  # workers that it left behind
                finish(job)
    finally:
        for _, process in running.values():
            process.stop()
