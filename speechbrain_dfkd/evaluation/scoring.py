"""Score many utterances on all cores; one that cannot be loses no other."""

import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Full, Queue
from threading import Thread

import numpy as np
from joblib import cpu_count
from joblib.executor import get_memmapping_executor
from joblib.externals.loky import BrokenProcessPool
from tqdm import tqdm

from speechbrain_dfkd.errors import UserError, listing, require
from speechbrain_dfkd.evaluation.metrics import METRICS, UndefinedMetric
from speechbrain_dfkd.files import write_atomically

logger = logging.getLogger(__name__)

# A worker per core: more threads in each would only slow one another.
_LIBRARIES = ("OMP", "OPENBLAS", "MKL")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _LIBRARIES}
# An idle worker waits this long for the next call; after a kill of this process
# it lives on for as long.
IDLE_SECONDS = 5
START_SECONDS = 120
_FIRST = futures.FIRST_COMPLETED
# A clip may bring these upon its worker, and upon the clips beside it.
_LOST = (BrokenProcessPool, futures.TimeoutError, MemoryError)


@dataclass
class Scores:
    """The metrics of a set of utterances; None where one is undefined."""

    # By utterance and metric.
    rows: dict[str, dict[str, float | None]] = field(default_factory=dict)
    # Reasons by metric and utterance, with a key for each metric.
    undefined: dict[str, dict[str, str]] = field(default_factory=dict)

    def mean(self, metric: str) -> float | None:
        """Return the mean of the defined values; None if there is none."""
        values = [row[metric] for row in self.rows.values()]
        values = [value for value in values if value is not None]
        return math.fsum(values) / len(values) if values else None

    def summary(self) -> dict[str, float | None]:
        """Return the means and counts that a row of ``write_report`` holds."""
        return {
            **{metric: self.mean(metric) for metric in self.undefined},
            "utterances": len(self.rows),
            "undefined": sum(map(len, self.undefined.values())),
        }

    def save(self, path: str | Path) -> None:
        """Write JSON to ``path``; an earlier file is replaced at once."""
        text = json.dumps(vars(self), indent=1, allow_nan=False)
        write_atomically(Path(path), text.encode())

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        """Read what ``save`` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def score(
    utterances: Iterable[tuple[str, np.ndarray, np.ndarray]],
    sample_rate: int,
    metrics: Mapping[str, Callable] = METRICS,
    n_jobs: int | None = None,
    timeout_seconds: float = 120.0,
    progress: bool = True,
) -> Scores:
    """Score (id, clean [L], enhanced [L]), alike on any number of cores.

    Metrics run in worker processes only: PESQ is C code, which a clip can
    crash. An undefined metric becomes None, and a warning says why. It is
    undefined, too, if it kills its process or gives no result in time:
    ``timeout_seconds`` until some worker has finished a clip, then for each
    metric of each clip under way, alone. Any other failure raises.
    """
    total = len(utterances) if isinstance(utterances, Sized) else None
    n_jobs = cpu_count() if n_jobs is None else n_jobs
    require("n_jobs", n_jobs > 0, "at least 1", n_jobs, "null takes all cores")
    if total is not None:
        n_jobs = max(1, min(n_jobs, total))
    outcomes = {}
    clips = _distinct(utterances, outcomes)
    task = (sample_rate, dict(metrics))
    results = _in_workers(clips, task, n_jobs, timeout_seconds)
    bar = tqdm(results, "scoring", total, unit="clip", disable=not progress)
    outcomes.update(bar)
    scores = Scores({name: {} for name in outcomes}, {m: {} for m in metrics})
    for name, outcome in outcomes.items():
        for metric, value in outcome.items():
            is_reason = isinstance(value, str)
            scores.rows[name][metric] = None if is_reason else value
            if is_reason:
                scores.undefined[metric][name] = value
    for metric, reasons in scores.undefined.items():
        if reasons:
            lines = (f"{name}: {why}" for name, why in reasons.items())
            logger.warning(
                f"{metric} is undefined for {len(reasons)} of {len(outcomes)} "
                f"utterances, which its mean leaves out:\n{listing(lines)}"
            )
    return scores


class Scoring:
    """Scores utterances once all are there or, ``beside``, while they come.

    Then ``add`` waits where scoring lags behind, so that a data set need not
    fit in memory. Failures of a metric are raised by the next call.
    """

    def __init__(
        self,
        sample_rate: int,
        metrics: Mapping[str, Callable],
        beside: bool = False,
        progress: bool = False,
    ):
        self._task = sample_rate, metrics
        self._utterances = Queue(2 * cpu_count() if beside else 0)
        self._scores = Future()
        # Started with the first utterance: processes that load the data were
        # forked then, which is not safe beside a thread at work. As a daemon it
        # keeps no script alive that fails meanwhile.
        self._thread = Thread(target=self._work, daemon=True)
        self._beside, self._progress = beside, progress

    def _work(self) -> None:
        found = iter(self._utterances.get, None)
        found = found if self._beside else list(found)
        try:
            scores = score(found, *self._task, progress=self._progress)
            self._scores.set_result(scores)
        except BaseException as error:
            self._scores.set_exception(error)

    def add(self, utterance: tuple[str, np.ndarray, np.ndarray] | None) -> None:
        """Add (id, clean [L], enhanced [L]); None: there is no other."""
        if self._beside and self._thread.ident is None:
            self._thread.start()
        while not self._scores.done():
            with suppress(Full):
                return self._utterances.put(utterance, timeout=0.2)
        self._scores.result()

    def scores(self) -> Scores:
        """Return the scores of all that were added, sorted by their ids."""
        self.add(None)
        if not self._beside:
            self._work()
        scores = self._scores.result()
        return Scores(dict(sorted(scores.rows.items())), scores.undefined)


def _distinct(utterances: Iterable[tuple], outcomes: dict) -> Iterator[tuple]:
    for name, *signals in utterances:
        if name in outcomes:
            raise UserError(
                f"utterance ids must be distinct, got {name} twice; rename one"
            )
        outcomes[name] = None  # keeps the order of the utterances
        yield name, *(np.ascontiguousarray(s, np.float32) for s in signals)


def _measure(clip: tuple, sample_rate: int, metrics: dict) -> dict:
    """Return the value of each metric, or the reason why it is undefined."""
    (name, *signals), values = clip, {}
    for metric, function in metrics.items():
        try:
            values[metric] = function(*signals, sample_rate)
        except UndefinedMetric as error:
            values[metric] = str(error)
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise RuntimeError(f"{metric} failed on {name}: {error}") from error
    return values


def _workers(n_jobs: int) -> Executor:
    # The pool of the last call, or a new one if that is broken. It is the one
    # of joblib's Parallel, which itself would run a single job in this process,
    # and cannot tell whether a worker has started.
    return get_memmapping_executor(n_jobs, timeout=IDLE_SECONDS, env=ONE_THREAD)


def _in_workers(
    clips: Iterator[tuple], task: tuple, n_jobs: int, timeout_seconds: float
) -> Iterator[tuple]:
    """Yield each clip's name with the result of ``_measure``."""
    pending = {}
    try:
        while True:
            pool = _workers(n_jobs)
            # Few, so that a data set need not fit in memory; and as many as
            # loky hands on at once, as it cannot be stopped with more.
            for clip in islice(clips, 2 * n_jobs - len(pending)):
                pending[_submitted(pool, clip, task)] = clip
            if not pending:
                return
            done, _ = futures.wait(pending, timeout_seconds, _FIRST)
            lost = set()
            if not done or any(map(_is_lost, done)):
                done, lost = list(pending), {*filter(_is_lost, pending)}
                pool.shutdown(kill_workers=True)
            for future in done:
                clip = pending[future]
                if future in lost:
                    yield clip[0], _alone(clip, *task, timeout_seconds)
                else:
                    yield clip[0], future.result()
                del pending[future]
    finally:
        if pending:
            pool.shutdown(kill_workers=True)


def _submitted(pool: Executor, clip: tuple, task: tuple) -> Future:
    try:
        return pool.submit(_measure, clip, *task)
    except BrokenProcessPool as error:  # by a clip before
        future = Future()
        future.set_exception(error)
        return future


def _is_lost(future: Future) -> bool:
    return not future.done() or isinstance(future.exception(), _LOST)


def _alone(
    clip: tuple, sample_rate: int, metrics: dict, timeout_seconds: float
) -> dict:
    """Measure each metric in a process with nothing beside it to blame."""
    values = {}
    for metric, function in metrics.items():
        only = {metric: function}
        pool = _started(only)
        try:
            future = pool.submit(_measure, clip, sample_rate, only)
            values |= future.result(timeout_seconds)
        except _LOST as error:
            pool.shutdown(kill_workers=True)
            audio = f"{len(clip[1]) / sample_rate:.1f} s of audio"
            values[metric] = f"{_cause(error, timeout_seconds)}, {audio}"
    return values


def _imported(metrics: Mapping) -> None:
    """Do nothing: who has unpickled this and the metrics has imported all."""


def _started(metrics: Mapping) -> Executor:
    """Return a pool of one; until it has imported all, no clip is to blame."""
    pool = _workers(1)
    try:
        pool.submit(_imported, metrics).result(START_SECONDS)
    except _LOST as error:
        raise RuntimeError(
            f"a process for scoring must start, got {error!r}; free memory and "
            "processes, and start again"
        ) from error
    return pool


def _cause(error: Exception, timeout_seconds: float) -> str:
    if isinstance(error, futures.TimeoutError):
        return f"no result within timeout_seconds = {timeout_seconds:g} s"
    if isinstance(error, MemoryError):
        return "not enough memory"
    signals = ", ".join(re.findall(r"SIG\w+|EXIT\(\d+\)", str(error)))
    return f"its process died ({signals or 'it is not known how'})"
