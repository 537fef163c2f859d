"""Score many utterances on all cores; one that cannot be loses no other."""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from joblib import cpu_count
from joblib.executor import get_memmapping_executor
from joblib.externals.loky import BrokenProcessPool
from tqdm import tqdm

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.evaluation.metrics import METRICS, UndefinedMetric
from speechbrain_dfkd.files import write_atomically

logger = logging.getLogger(__name__)

# A worker per core: more threads in each would only slow one another.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
# An idle worker waits this long for the next call; after a kill of this process
# it lives on for as long.
IDLE_SECONDS = 5
START_SECONDS = 120
# A clip may bring these upon its worker, and upon the clips beside it.
_LOST = (BrokenProcessPool, TimeoutError, MemoryError)


@dataclass
class Scores:
    """The metrics of a set of utterances.

    Arguments
    ---------
    rows : dict
        ``{utterance id: {metric: value}}``; None where a metric is undefined.
    undefined : dict
        ``{metric: {utterance id: reason}}``, a key for each metric.

    Example
    -------
    >>> scores = Scores(
    ...     {"a": {"stoi": 0.5}, "b": {"stoi": None}, "c": {"stoi": 0.7}},
    ...     {"stoi": {"b": "clean is silent"}},
    ... )
    >>> round(scores.mean("stoi"), 6)
    0.6
    >>> scores.summary()["undefined"]
    1
    """

    rows: dict = field(default_factory=dict)
    undefined: dict = field(default_factory=dict)

    def mean(self, metric: str):
        """Return the mean of the defined values; None if there is none."""
        values = [row[metric] for row in self.rows.values()]
        values = [value for value in values if value is not None]
        return math.fsum(values) / len(values) if values else None

    def summary(self):
        """Return the means and counts that a row of ``write_report`` holds."""
        return {
            **{metric: self.mean(metric) for metric in self.undefined},
            "utterances": len(self.rows),
            "undefined": sum(map(len, self.undefined.values())),
        }

    def save(self, path):
        """Write JSON to ``path``; an earlier file is replaced at once."""
        text = json.dumps(vars(self), indent=1, allow_nan=False)
        write_atomically(Path(path), text.encode())

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def score(
    utterances: Iterable,
    sample_rate: int,
    metrics: Mapping = METRICS,
    n_jobs: int | None = None,
    timeout_seconds: float = 120.0,
    progress: bool = True,
) -> Scores:
    """Score utterances; the numbers do not depend on ``n_jobs``.

    Metrics run in worker processes only: PESQ is C code, which a clip can
    crash. An undefined metric (silence, for example) becomes None, and a
    warning names the utterances; so does one that kills its process or gives
    no result in time, with that as the reason. Any other failure raises.

    Arguments
    ---------
    utterances : iterable of (str, np.ndarray, np.ndarray)
        Utterance id, clean and enhanced, each of shape [L]. It is read as the
        scoring proceeds, and may be a generator; scored as float32.
    sample_rate : int
        In Hz.
    metrics : mapping of str to callable
        The metrics by the name of their column; see ``metrics.METRICS``.
    n_jobs : int
        The number of worker processes; None takes all cores.
    timeout_seconds : float
        The longest wait for some worker to finish a clip. Then each clip under
        way has this time for each of its metrics, alone.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Scores
        In the order of ``utterances``.

    Raises
    ------
    UserError
        If an id comes twice, or ``n_jobs`` is below 1.
    RuntimeError
        If a metric failed; it names the utterance. Or no worker starts.

    Example
    -------
    >>> from speechbrain_dfkd.evaluation.metrics import output_gain_db
    >>> clean = np.array([1.0, -1.0, 1.0, -1.0])
    >>> scores = score(
    ...     [("a", clean, 2 * clean)],
    ...     16000,
    ...     {"gain_db": output_gain_db},
    ...     n_jobs=1,
    ...     progress=False,
    ... )
    >>> round(scores.mean("gain_db"), 2)
    6.02
    """
    total = len(utterances) if isinstance(utterances, Sized) else None
    n_jobs = _number_of_jobs(n_jobs, total)
    outcomes = {}
    clips = _distinct(utterances, outcomes)
    shared = (sample_rate, dict(metrics))
    results = _in_workers(clips, shared, n_jobs, timeout_seconds)
    bar = tqdm(results, "scoring", total, unit="clip", disable=not progress)
    for name, outcome in bar:
        outcomes[name] = outcome
    scores = _collect(outcomes, metrics)
    _warn_of_undefined(scores)
    return scores


def _number_of_jobs(n_jobs, total):
    n_jobs = cpu_count() if n_jobs is None else n_jobs
    if n_jobs < 1:
        raise UserError(
            f"n_jobs must be at least 1, got {n_jobs}; null takes all cores"
        )
    return n_jobs if total is None else max(1, min(n_jobs, total))


def _distinct(utterances, outcomes):
    for name, clean, enhanced in utterances:
        if name in outcomes:
            raise UserError(
                f"utterance ids must be distinct, got {name} twice; rename one"
            )
        outcomes[name] = None  # keeps the order of the utterances
        yield name, _as_float32(clean), _as_float32(enhanced)


def _as_float32(signal):
    return np.ascontiguousarray(signal, dtype=np.float32)


def _measure(name, clean, enhanced, sample_rate, metrics):
    values, reasons = {}, {}
    for metric, function in metrics.items():
        values[metric] = None
        try:
            values[metric] = function(clean, enhanced, sample_rate)
        except UndefinedMetric as error:
            reasons[metric] = str(error)
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise RuntimeError(f"{metric} failed on {name}: {error}") from error
    return values, reasons


def _workers(n_jobs):
    # Workers of loky do not import the script again, as those of multiprocessing
    # would, and a worker that dies breaks the pool instead of being waited for.
    # The pool is that of the last call, or a new one if that was broken. It is
    # joblib's own: Parallel, used elsewhere, takes over the process's pool, and
    # fails with one that loky alone has made.
    return get_memmapping_executor(n_jobs, timeout=IDLE_SECONDS, env=ONE_THREAD)


def _in_workers(clips, shared, n_jobs, timeout_seconds):
    # Few clips are under way, so that a data set need not fit in memory.
    pending = {}
    try:
        while True:
            pool = _workers(n_jobs)
            for clip in islice(clips, 2 * n_jobs - len(pending)):
                pending[_submitted(pool, clip, shared)] = clip
            if not pending:
                return
            done, _ = wait(pending, timeout_seconds, FIRST_COMPLETED)
            lost = set()
            if not done or any(map(_is_lost, done)):
                done, lost = list(pending), {*filter(_is_lost, pending)}
                pool.shutdown(kill_workers=True)
            for future in done:
                clip = pending[future]
                if future in lost:
                    yield clip[0], _alone(clip, *shared, timeout_seconds)
                else:
                    yield clip[0], future.result()
                del pending[future]
    finally:
        if pending:
            pool.shutdown(kill_workers=True)


def _submitted(pool, clip, shared):
    try:
        return pool.submit(_measure, *clip, *shared)
    except BrokenProcessPool as error:  # by a clip before
        future = Future()
        future.set_exception(error)
        return future


def _is_lost(future):
    return not future.done() or isinstance(future.exception(), _LOST)


def _alone(clip, sample_rate, metrics, timeout_seconds):
    """Measure each metric in a process with nothing beside it to blame."""
    values, reasons = {}, {}
    for metric, function in metrics.items():
        pool = _started()
        only = {metric: function}
        try:
            future = pool.submit(_measure, *clip, sample_rate, only)
            value, reason = future.result(timeout_seconds)
        except _LOST as error:
            pool.shutdown(kill_workers=True)
            seconds = len(clip[1]) / sample_rate
            why = f"{_cause(error, timeout_seconds)}, {seconds:.1f} s of audio"
            value, reason = {metric: None}, {metric: why}
        values |= value
        reasons |= reason
    return values, reasons


def _started():
    # Without a worker that has imported all, no clip is to blame.
    pool = _workers(1)
    try:
        pool.submit(_measure, "no clip", None, None, 0, {}).result(
            START_SECONDS
        )
    except _LOST as error:
        raise RuntimeError(
            f"a process for scoring must start, got {error!r}; free memory and "
            "processes, and start again"
        ) from error
    return pool


def _cause(error, timeout_seconds):
    if isinstance(error, TimeoutError):
        return f"no result within timeout_seconds = {timeout_seconds:g} s"
    if isinstance(error, MemoryError):
        return "not enough memory"
    signals = ", ".join(re.findall(r"SIG\w+|EXIT\(\d+\)", str(error)))
    return f"its process died ({signals or 'it is not known how'})"


def _collect(outcomes, metrics):
    undefined = {metric: {} for metric in metrics}
    for name, (_, reasons) in outcomes.items():
        for metric, reason in reasons.items():
            undefined[metric][name] = reason
    rows = {name: values for name, (values, _) in outcomes.items()}
    return Scores(rows, undefined)


def _warn_of_undefined(scores):
    for metric, reasons in scores.undefined.items():
        if reasons:
            logger.warning(
                "%s is undefined for %d of %d utterances, which its mean leaves "
                "out:\n%s",
                metric,
                len(reasons),
                len(scores.rows),
                listing(f"{name}: {why}" for name, why in reasons.items()),
            )
