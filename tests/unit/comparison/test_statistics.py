"""Known answers, independent references, and intervals that hold true."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from speechbrain_dfkd.comparison.statistics import (
    Estimate,
    bootstrap_mean,
    holm,
    mean_over_seeds,
)
from speechbrain_dfkd.comparison.tuning import choose_setting, setting_means
from speechbrain_dfkd.errors import UserError


def test_the_t_interval_is_the_one_computed_by_hand():
    # Standard error 1 / sqrt(3); t = 3.4641; the table's t(0.975, 2) = 4.3027.
    estimate = mean_over_seeds([1.0, 2.0, 3.0])
    assert estimate.value == 2
    assert estimate.low == pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4)
    assert estimate.high == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4)
    assert estimate.p == pytest.approx(0.0742, abs=1e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_differences_by_seed_give_the_paired_t_test(confidence):
    ours, theirs = np.random.default_rng(1).normal(size=(2, 5))
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(confidence)
    estimate = mean_over_seeds(ours - theirs, confidence)
    assert estimate.p == pytest.approx(expected.pvalue)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(interval))


def test_scores_in_single_precision_are_averaged_in_double():
    values = np.array([0.1, 0.2, 0.7], np.float32)
    assert mean_over_seeds(values) == mean_over_seeds(
        [float(v) for v in values]
    )


def test_a_single_seed_has_no_interval():
    assert Estimate(0.3) == Estimate(0.3, low=None, high=None, p=None)
    assert mean_over_seeds([0.3]) == Estimate(0.3)
    assert bootstrap_mean(np.array([[0.25, 0.75]])) == Estimate(0.5)


def test_a_single_clip_has_no_interval_over_clips():
    assert bootstrap_mean(np.array([[0.25], [0.75]])) == Estimate(0.5)


@pytest.mark.parametrize("value, p", [(0.0, 1.0), (0.5, 0.0)])
def test_equal_differences_have_an_empty_interval(value, p):
    expected = Estimate(value, value, value, p)
    assert mean_over_seeds([value] * 3) == expected
    assert bootstrap_mean(np.full((3, 4), value), draws=100) == expected


@pytest.mark.parametrize("seeds, clips, axis", [(3, 200, 1), (8, 50, 0)])
def test_one_cause_of_spread_gives_the_t_interval_over_it(seeds, clips, axis):
    # Seeds (or clips) that differ by a constant are as many independent values.
    shape = (seeds, 1) if axis == 1 else (1, clips)
    values = np.random.default_rng(2).normal(0.3, 1.0, shape)
    expected = mean_over_seeds(values.ravel())
    found = bootstrap_mean(np.broadcast_to(values, (seeds, clips)))
    assert found.value == pytest.approx(expected.value)
    assert found.low == pytest.approx(expected.low, abs=0.03 * seeds**-0.5)
    assert found.high == pytest.approx(expected.high, abs=0.03 * seeds**-0.5)
    assert found.p == pytest.approx(expected.p, abs=0.02)


def test_the_spread_of_the_draws_is_that_of_owens_formula():
    # Of the mean squares: a / S + b / U + 3 e / (S U) in expectation.
    seeds, clips = 6, 40
    values = np.random.default_rng(3).normal(size=(seeds, clips))
    by_seed, by_clip = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_clip + values.mean()
    mean_square = (rest**2).sum() / ((seeds - 1) * (clips - 1))
    of_seeds = by_seed.var(ddof=1) / seeds
    of_clips = by_clip.var(ddof=1) / clips
    spread = of_seeds + of_clips + mean_square / (seeds * clips)
    freedom = (of_seeds + of_clips) ** 2 / (
        of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1)
    )
    found = bootstrap_mean(values, draws=20000)
    half = stats.t.ppf(0.975, freedom) * spread**0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize(
    "values, freedom",
    [
        (np.random.default_rng(6).normal(size=(3, 5)), None),
        (np.array([[0.0, 1.0], [1.0, 2.0]]), 2),  # seeds and clips alike
        (np.array([[1.0, -1.0], [-1.0, 1.0]]), 1),  # neither: as by seeds
    ],
)
def test_the_interval_is_that_of_draws_one_by_one(values, freedom):
    """Of one seed and one clip less, the same clips for all the seeds."""
    seeds, clips = values.shape
    generator = np.random.default_rng(0)
    drawn_seeds = generator.integers(seeds, size=(200, seeds - 1))
    drawn_clips = generator.integers(clips, size=(200, clips - 1))
    means = [
        values[np.ix_(*pair)].mean()
        for pair in zip(drawn_seeds, drawn_clips, strict=True)
    ]
    if freedom is None:
        by_seed = values.mean(axis=1).var(ddof=1) / seeds
        by_clip = values.mean(axis=0).var(ddof=1) / clips
        freedom = (by_seed + by_clip) ** 2 / (
            by_seed**2 / (seeds - 1) + by_clip**2 / (clips - 1)
        )
    half = stats.t.ppf(0.975, freedom) * np.std(means)
    found = bootstrap_mean(values, draws=200)
    ends = (values.mean() - half, values.mean() + half)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-9)


def simulate(generator, seeds, clips, of_seed, of_clip, rest):
    """Return differences [S, U] without an effect on average."""
    return (
        generator.normal(0, of_seed, (seeds, 1))
        + generator.normal(0, of_clip, (1, clips))
        + generator.normal(0, rest, (seeds, clips))
    )


def coverage(interval, comparisons=300, **sizes):
    """Return the share of comparisons whose interval holds the truth, 0."""
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(comparisons):
        estimate = interval(simulate(generator, **sizes))
        held += estimate.low <= 0 <= estimate.high
    return held / comparisons


def clips_drawn_within_seeds(differences, draws=300):
    """The wrong bootstrap: each seed draws clips of its own."""
    seeds, clips = differences.shape
    generator = np.random.default_rng(0)
    rows = generator.integers(seeds, size=(draws, seeds, 1))
    columns = generator.integers(clips, size=(draws, seeds, clips))
    means = differences[rows, columns].mean(axis=(1, 2))
    return Estimate(differences.mean(), *np.quantile(means, [0.025, 0.975]))


def percentiles(differences, draws=300):
    """The plain pigeonhole bootstrap: its percentiles ignore few seeds."""
    seeds, clips = differences.shape
    generator = np.random.default_rng(0)
    rows = generator.integers(seeds, size=(draws, seeds, 1))
    columns = generator.integers(clips, size=(draws, 1, clips))
    means = differences[rows, columns].mean(axis=(1, 2))
    return Estimate(differences.mean(), *np.quantile(means, [0.025, 0.975]))


SEEDS_DIFFER = {
    "seeds": 3, "clips": 40, "of_seed": 0.05, "of_clip": 0.05, "rest": 0.05,
}  # fmt: skip
CLIPS_DIFFER = {
    "seeds": 5, "clips": 40, "of_seed": 0.01, "of_clip": 0.2, "rest": 0.05,
}  # fmt: skip
BOTH_DIFFER = {
    "seeds": 5, "clips": 40, "of_seed": 0.02, "of_clip": 0.1, "rest": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("sizes", [SEEDS_DIFFER, CLIPS_DIFFER, BOTH_DIFFER])
def test_the_interval_holds_the_truth_as_often_as_it_says(sizes):
    share = coverage(lambda of: bootstrap_mean(of, draws=300), **sizes)
    assert 0.92 <= share <= 0.995


@pytest.mark.parametrize(
    "wrong, sizes",
    [
        (clips_drawn_within_seeds, CLIPS_DIFFER),
        (percentiles, SEEDS_DIFFER),
        (lambda of: mean_over_seeds(of.mean(axis=1)), CLIPS_DIFFER),
        (lambda of: mean_over_seeds(of.ravel()), SEEDS_DIFFER),
    ],
    ids=["clips within seeds", "percentiles", "seeds alone", "all independent"],
)
def test_that_check_tells_wrong_intervals(wrong, sizes):
    assert coverage(wrong, **sizes) < 0.87


def test_the_bootstrap_is_the_same_each_time():
    values = np.random.default_rng(5).normal(size=(4, 9))
    assert bootstrap_mean(values) == bootstrap_mean(values, 0.95, 10000)


def corrected(*p_values):
    return holm(pd.Series(p_values, dtype=float)).tolist()


def test_holm_stops_at_one_and_never_falls():
    assert corrected(0.9, 0.8) == [1.0, 1.0]
    assert corrected(0.6, 0.5, 0.01) == pytest.approx([1.0, 1.0, 0.03])
    # 2 x 0.02 comes after 3 x 0.015: the larger holds for both.
    assert corrected(0.02, 0.015, 0.9) == pytest.approx([0.045, 0.045, 0.9])


def test_holm_of_no_tests_is_no_tests():
    assert corrected() == []
    assert pd.isna(corrected(None)).tolist() == [True]


def tried(job, *scores):
    return [
        job("dfkd", 100, values, "tuning", {"kd_gradient_ratio": ratio})
        for ratio, values in scores
    ]


def test_the_best_setting_on_validation_is_chosen(job):
    jobs = tried(job, (0.1, [1, 2]), (0.3, [2, 2]), (1.0, [1, 1]))
    assert choose_setting(jobs, "pesq_wb") == {"kd_gradient_ratio": 0.3}


def test_of_equal_settings_the_first_is_chosen(job):
    jobs = tried(job, (0.1, [1, 2]), (1.0, [2, 2]), (0.3, [2, 2]))
    assert choose_setting(jobs, "pesq_wb") == {"kd_gradient_ratio": 1.0}


def test_a_clip_undefined_for_one_setting_counts_for_none(job):
    # Without its hard first clip the second setting would seem the best.
    jobs = tried(job, (0.1, [1, 3]), (0.3, [None, 2]))
    assert [mean for _, mean in setting_means(jobs, "pesq_wb")] == [3, 2]
    assert choose_setting(jobs, "pesq_wb") == {"kd_gradient_ratio": 0.1}


@pytest.mark.parametrize("values", [[], [[None]]])
def test_settings_without_a_score_are_refused(job, values):
    with pytest.raises(UserError, match="pesq_wb must be defined"):
        choose_setting(tried(job, *((0.1, of) for of in values)), "pesq_wb")
