"""The statistics of a comparison, on plain arrays of scores.

Arms are trained with the same seeds and scored on the same clips, so scores
form an array [S, U] of seeds by clips in which the two are crossed. All
estimates are of differences between such arrays, paired by seed and by clip.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Estimate(NamedTuple):
    """A mean with its interval and the two-sided p value of its being zero.

    The latter two are None where there are too few values for them.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def clip_scores(found: Iterable[Mapping], metric: str) -> pd.DataFrame:
    """Return one metric of each ``{clip: {metric: score}}``.

    A clip for which it is undefined anywhere is left out everywhere.

    Shape
    -----
    returns: [S, U]
    """
    rows = [
        {clip: of.get(metric) for clip, of in scores.items()}
        for scores in found
    ]
    return pd.DataFrame(rows, dtype=float).dropna(axis="columns")


def clip_means(table: pd.DataFrame) -> pd.Series:
    """Return each row's mean over clips, by numpy's pairwise summation."""
    scores = np.ascontiguousarray(table)  # the order of the sum is its layout's
    return pd.Series(scores.mean(axis=1), table.index)


def mean_over_seeds(values: Sequence, confidence: float = 0.95) -> Estimate:
    """Return the mean with Student's t interval and its one-sample t test.

    On differences paired by seed this is the paired t test. It asks what other
    seeds would give on the same clips. Values (of shape [S], one a seed) that
    are all equal have an empty interval, and p = 1 if they are zero, else 0.

    Example
    -------
    >>> estimate = mean_over_seeds([1.0, 2.0, 3.0])  # t = 2 / (1 / sqrt(3))
    >>> estimate.value, round(estimate.p, 4)
    (2.0, 0.0742)
    >>> mean_over_seeds([1.0])
    Estimate(value=1.0, low=None, high=None, p=None)
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return Estimate(mean)
    error = float(values.std(ddof=1)) / values.size**0.5
    return _student(mean, error, values.size - 1, confidence)


def bootstrap_mean(
    differences: np.ndarray, confidence: float = 0.95, draws: int = 10000
) -> Estimate:
    """Return the mean with an interval over other seeds *and* other clips.

    Each draw takes seeds and clips independently, as they are crossed (the
    pigeonhole bootstrap of Owen, Annals of Applied Statistics 1(2), 2007), one
    less of each than there are (Rao & Wu, JASA 83, 1988); the interval is mean
    +- t times the spread of the draws, always the same ones. docs/comparing.md
    says why, and what it holds in simulations.

    Shape
    -----
    differences: [S, U], by seed and clip, arm minus baseline.
    """
    mean = float(differences.mean())
    if min(differences.shape) < 2:
        return Estimate(mean)
    seeds, clips = differences.shape
    generator = np.random.default_rng(0)
    drawn_seeds = generator.integers(seeds, size=(draws, seeds - 1))
    drawn_clips = generator.integers(clips, size=(draws, clips - 1))
    shares = (drawn_seeds[..., None] == np.arange(seeds)).mean(axis=1)
    by_clip = shares @ differences  # [draws, U]: means over the seeds drawn
    drawn = np.take_along_axis(by_clip, drawn_clips, axis=1).mean(axis=1)
    of_seeds = differences.mean(axis=1).var(ddof=1) / seeds
    of_clips = differences.mean(axis=0).var(ddof=1) / clips
    freedom = seeds - 1
    if of_seeds + of_clips > 0:
        freedom = (of_seeds + of_clips) ** 2 / (
            of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1)
        )
    return _student(mean, float(drawn.std()), freedom, confidence)


def _student(
    mean: float, error: float, freedom: float, confidence: float
) -> Estimate:
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    if error > 0:
        p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    else:  # all values are equal
        p = float(mean == 0)
    return Estimate(mean, mean - half, mean + half, p)


def holm(p_values: pd.Series) -> pd.Series:
    """Return p values corrected for their number by Holm's method.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is
    smaller than the one before (Holm, Scandinavian Journal of Statistics 6,
    1979). Rejecting below 0.05 keeps the chance of any false rejection below
    0.05, however the tests depend on each other. NaN, where there is no test,
    stays NaN and does not count.

    Example
    -------
    >>> holm(pd.Series([0.01, 0.04, None, 0.03, 0.005])).tolist()
    [0.03, 0.06, nan, 0.06, 0.02]
    """
    tested = p_values.dropna().sort_values(kind="stable")
    corrected = tested * np.arange(len(tested), 0, -1)
    return corrected.cummax().clip(upper=1.0).reindex(p_values.index)
