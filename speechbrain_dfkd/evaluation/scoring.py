"""Score many utterances on all cores, without ever hanging."""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from joblib import cpu_count
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor
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

    An undefined metric (silence, for example) becomes None, and a warning
    names the utterances. Any other failure of a metric raises.

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
        The number of worker processes; None takes all cores. 1 scores within
        this process, and no time limit can hold there.
    timeout_seconds : float
        The longest wait, from the start on, for some worker to finish a clip.
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
    TimeoutError
        If no utterance was finished in time; it names those under way.
    RuntimeError
        If a worker died, or a metric failed; it names the utterances.

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
    if n_jobs == 1:
        results = ((clip[0], _measure(*clip, *shared)) for clip in clips)
    else:
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
        except UserError:
            raise
        except Exception as error:
            raise RuntimeError(f"{metric} failed on {name}: {error}") from error
    return values, reasons


def _in_workers(clips, shared, n_jobs, timeout_seconds):
    # Workers of loky do not import the script again, as those of multiprocessing
    # would, and a worker that dies breaks the pool instead of being waited for.
    executor = ProcessPoolExecutor(n_jobs, env=ONE_THREAD)
    pending = {}
    try:
        yield from _as_finished(
            clips, shared, executor, pending, 2 * n_jobs, timeout_seconds
        )
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a scoring process died (out of memory, perhaps: then a smaller "
            f"n_jobs helps) while at\n{listing(pending.values())}"
        ) from error
    finally:
        executor.shutdown(kill_workers=bool(pending))


def _as_finished(clips, shared, executor, pending, limit, timeout_seconds):
    # Only `limit` clips are under way, so that a data set need not fit in memory.
    while True:
        for clip in islice(clips, limit - len(pending)):
            pending[executor.submit(_measure, *clip, *shared)] = clip[0]
        if not pending:
            return
        done, _ = wait(pending, timeout_seconds, FIRST_COMPLETED)
        if not done:
            raise TimeoutError(
                f"no utterance was scored within timeout_seconds = "
                f"{timeout_seconds:g} s while at\n{listing(pending.values())}"
            )
        for future in done:
            outcome = future.result()
            yield pending.pop(future), outcome


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
