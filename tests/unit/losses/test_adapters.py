"""The other adapters against the references, and their invariances."""

import adapters_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.crossover import (
    FallingEnvelope,
    FixedSplit,
    LogMagnitudeSlope,
    RandomSplit,
    SmoothedOverTime,
    SpectralRolloff,
)

ADAPTERS = [
    SpectralRolloff(),
    FallingEnvelope(),
    LogMagnitudeSlope(9),
    FixedSplit(20),
    RandomSplit(3),
    SmoothedOverTime(FallingEnvelope(), 3),
]
BY_CONTENT = [ADAPTERS[i] for i in (0, 1, 2, 5)]
REFERENCES = [
    (SpectralRolloff(0.9), lambda f: adapters_numpy.rolloff(f, 0.9)),
    (SpectralRolloff(0.2), lambda f: adapters_numpy.rolloff(f, 0.2)),
    (FallingEnvelope(-40.0), lambda f: adapters_numpy.falling(f, -40)),
    (FallingEnvelope(-3.0), lambda f: adapters_numpy.falling(f, -3)),
    (LogMagnitudeSlope(9, -60.0), lambda f: adapters_numpy.slope(f, 9, -60)),
    (LogMagnitudeSlope(1, -9.0), lambda f: adapters_numpy.slope(f, 1, -9)),
    (RandomSplit(0), lambda f: adapters_numpy.random_split(f, 0)),
    (RandomSplit(9), lambda f: adapters_numpy.random_split(f, 9)),
]


def name(value):
    return type(value).__name__


all_adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=name)


@pytest.fixture
def magnitudes():
    """Smoothed noise: several falling stretches in each frame."""
    torch.manual_seed(0)
    return torch.randn(3, 65, 20).abs().cumsum(1).sin().abs()


@pytest.mark.parametrize("adapter, reference", REFERENCES, ids=name)
def test_matches_the_reference(adapter, reference, magnitudes):
    # In float64, where equal slopes of a float32 sum do not differ by chance;
    # the values are those of float32, as the hash takes their bits.
    found = adapter(magnitudes.double())
    for item, crossovers in zip(magnitudes, found, strict=True):
        expected = [reference(frame) for frame in item.T.double().tolist()]
        assert crossovers.tolist() == expected
    assert len(found.unique()) > 5  # the cases were not all alike


def test_smoothing_averages_before_the_split(magnitudes):
    found = SmoothedOverTime(SpectralRolloff(0.5), 5)(magnitudes.double())
    for item, crossovers in zip(magnitudes, found, strict=True):
        frames = item.T.double().tolist()
        for t, crossover in enumerate(crossovers.tolist()):
            smoothed = adapters_numpy.smoothed(frames, t, 5)
            assert crossover == adapters_numpy.rolloff(smoothed, 0.5)


def test_smoothing_over_one_frame_changes_nothing(magnitudes):
    for adapter in ADAPTERS:
        found = SmoothedOverTime(adapter, 1)(magnitudes)
        assert found.equal(adapter(magnitudes))


@all_adapters
def test_keeps_the_contract(adapter, magnitudes):
    crossover = adapter(magnitudes.requires_grad_())
    assert crossover.shape == (3, 20) and crossover.dtype == torch.int64
    assert 0 <= crossover.min() and crossover.max() <= 65 - 2
    assert not crossover.requires_grad
    strided = magnitudes.detach().transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    assert adapter(strided).equal(crossover)


@all_adapters
def test_runs_without_reading_values(adapter):
    crossover = adapter(torch.empty(2, 257, 9, device="meta"))
    assert crossover.shape == (2, 9) and crossover.dtype == torch.int64
    assert crossover.device.type == "meta"


@pytest.mark.parametrize("adapter", BY_CONTENT, ids=name)
@pytest.mark.parametrize("gain", [2.0**-12, 2.0**12])
def test_level_does_not_matter(adapter, magnitudes, gain):
    assert adapter(gain * magnitudes).equal(adapter(magnitudes))


@pytest.mark.parametrize("adapter", BY_CONTENT, ids=name)
def test_silence_splits_at_zero(adapter):
    assert adapter(torch.zeros(1, 9, 3)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("adapter", BY_CONTENT[:3], ids=name)
def test_half_precision_does_not_overflow(adapter):
    falling = torch.linspace(60000.0, 30000.0, 33).reshape(1, -1, 1)
    falling[:, 20:] = 1.0
    crossover = adapter(falling.half()).item()
    assert crossover == adapter(falling).item() and 10 < crossover <= 24


@pytest.mark.parametrize("adapter", BY_CONTENT[1:3], ids=name)
def test_a_step_down_is_found(adapter):
    step = torch.full((1, 257, 4), 50.0)
    step[:, 101:] = 1.0
    found = adapter(step).unique()
    # Smoothed over nine bins, the step is a slope of nine equal parts.
    assert len(found) == 1 and 96 <= found.item() <= 100


def test_random_split_is_even_and_independent_of_neighbours():
    torch.manual_seed(0)
    magnitudes = torch.rand(4, 33, 8000)
    split = RandomSplit(0)(magnitudes)
    counts = torch.bincount(split.flatten(), minlength=32)
    expected = 4 * 8000 / 32
    # Chi-squared of 31 degrees of freedom: 61 is passed once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 61
    for other in (split.roll(1, 1), RandomSplit(1)(magnitudes)):
        assert (split == other).float().mean() < 2 / 32


def test_random_split_needs_no_state(magnitudes):
    first = RandomSplit(0)(magnitudes)
    state = torch.random.get_rng_state()
    assert RandomSplit(0)(magnitudes[1:]).equal(first[1:]), "in any batch"
    assert torch.random.get_rng_state().equal(state)
    nudged = magnitudes * (1 + 1e-6)
    assert (RandomSplit(0)(nudged) == first).float().mean() < 0.2


def test_fixed_split_leaves_the_high_band_two_bins():
    assert FixedSplit(100)(torch.rand(1, 33, 2)).tolist() == [[31, 31]]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SpectralRolloff(1.0), "share must be above 0"),
        (lambda: FallingEnvelope(0.0), "floor_db must be negative"),
        (lambda: LogMagnitudeSlope(4), "n_bins must be an odd number"),
        (lambda: LogMagnitudeSlope(9, 1.0), "floor_db must be negative"),
        (lambda: FixedSplit(-1), "crossover must be at least 0"),
        (lambda: RandomSplit(-1), "seed must be at least 0"),
        (lambda: SmoothedOverTime(FixedSplit(1), 0), "n_frames must be an odd"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
