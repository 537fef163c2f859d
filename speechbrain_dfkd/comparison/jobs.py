"""Jobs: one training each, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from joblib import cpu_count

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.scoring import ONE_THREAD
from speechbrain_dfkd.settings.command_line import ENDS_WITH_PARENT

_POLL_SECONDS = 0.2
_LAST_LINES = 15


def visible_cards() -> list:
    """Return the CUDA devices this process may use, by number or UUID.

    No CUDA context is made: it would take memory from the jobs.
    """
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = range(count) if named is None else named.split(",")[:count]
    return [str(name).strip() for name in names]


def shared_environment(jobs: int, card: str | None = None) -> dict:
    """Return the variables of one of several jobs on this machine."""
    variables = {} if card is None else {"CUDA_VISIBLE_DEVICES": card}
    if jobs > 1:
        cores = max(1, cpu_count() // jobs)
        variables |= {**ONE_THREAD, "LOKY_MAX_CPU_COUNT": str(cores)}
    return variables


class RunningJob:
    """A job under way, here or elsewhere: ``has_ended()`` and ``stop()``."""

    def __init__(self, label: str, log: Path):
        self.label, self.log = label, log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._start_of_log = log.stat().st_size

    def wait(self) -> None:
        """Wait for its end; stop it if this is interrupted."""
        try:
            while not self.has_ended():
                time.sleep(_POLL_SECONDS)
        finally:
            self.stop()

    def _bad_end(self, how: str) -> UserError:
        with self.log.open("rb") as stream:
            stream.seek(self._start_of_log)
            last = deque(stream, _LAST_LINES)
        lines = [line.decode(errors="replace").rstrip() for line in last]
        return UserError(
            f"{self.label} must end well, got {how} after\n{listing(lines)}\n"
            f"the whole log: {self.log}\nput it right; the same command goes on"
        )


class JobProcess(RunningJob):
    """A script of a recipe under way, in a process that ends with this one.

    It reads a pipe that closes when this process ends, however that happens,
    and then kills itself with the workers it has started. All it prints is
    appended to a log file.
    """

    def __init__(self, label: str, words: list, log: Path, variables: Mapping):
        super().__init__(label, log)
        environment = {**os.environ, **variables, ENDS_WITH_PARENT: "1"}
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def ended_by(self) -> int:
        """The signal that ended it, else 0."""
        return max(0, -(self._process.poll() or 0))

    def has_ended(self) -> bool:
        """Tell whether it has ended; its last lines if it did not end well."""
        code = self._process.poll()
        if not code:
            return code == 0
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {-code} (out of memory, perhaps)"
        raise self._bad_end(how)

    def stop(self) -> None:
        """Kill the process and its workers; its training can go on later."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of the group is left
        self._process.wait()
        self._process.stdin.close()


def run_side_by_side(
    known: Callable,
    start: Callable,
    finish: Callable,
    side_by_side: int,
    cards: list | None = None,
) -> None:
    """Run jobs until no other is known; a ``UserError`` if one fails.

    If one fails, or this is interrupted, the others are stopped. ``known()``
    returns ``{name: job}`` of the jobs that are not finished, in the order in
    which to start them; ``start(job, card)`` returns its ``RunningJob``. Each
    of the cards has ``side_by_side`` of them at a time.
    """
    cards, running = cards or [None], {}
    try:
        while True:
            for name, job in known().items():
                if name in running:
                    continue
                load = Counter(card for *_, card in running.values())
                card = min(cards, key=load.__getitem__)
                if load[card] >= side_by_side:
                    break
                running[name] = (job, start(job, card), card)
            if not running:
                return
            ended = []
            while not ended:
                time.sleep(_POLL_SECONDS)
                ended = [
                    name
                    for name, (_, run, _) in running.items()
                    if run.has_ended()
                ]
            for name in ended:
                job, run, _ = running.pop(name)
                run.stop()  # workers that it left behind
                finish(job)
    finally:
        for _, run, _ in running.values():
            run.stop()
