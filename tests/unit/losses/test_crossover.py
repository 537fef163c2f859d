"""Adapters against the references, their invariances, and physics."""

import adapters_numpy
import dfkd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.crossover import (
    FallingEnvelope,
    FixedSplit,
    FrequencyAdapter,
    LogMagnitudeSlope,
    RandomSplit,
    SmoothedOverTime,
    SpectralRolloff,
    band_masks,
)
from speechbrain_dfkd.stft import STFT


@pytest.fixture
def adapter():
    return FrequencyAdapter()


def test_published_adapter_matches_the_reference(adapter, magnitudes):
    found = adapter(magnitudes)
    for item, crossovers in zip(magnitudes, found, strict=True):
        expected = [dfkd_numpy.crossover(f) for f in item.T.double().tolist()]
        assert crossovers.tolist() == expected
    assert len(found.unique()) > 10  # the cases were not all alike


def test_first_of_equal_slopes(adapter):
    doubling = 2.0 ** torch.arange(9)
    assert adapter(doubling.reshape(1, -1, 1)).item() == 0


def test_a_frame_that_never_rises_or_is_silent_has_crossover_zero(adapter):
    falling = torch.arange(9.0).flip(0)
    frames = torch.stack([falling, torch.zeros(9)], dim=1)
    assert adapter(frames[None]).tolist() == [[0, 0]]


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_level_does_not_matter_to_the_published_adapter(
    adapter, magnitudes, gain
):
    assert adapter(gain * magnitudes).equal(adapter(magnitudes))


def test_frames_do_not_influence_each_other(adapter, magnitudes):
    changed = magnitudes.clone()
    changed[:, -1, 7] = 1e3  # the steepest rise is now to the last bin
    differs = adapter(changed) != adapter(magnitudes)
    assert differs[:, 7].all() and differs.sum() == 3


@pytest.mark.parametrize("k", [5, 40, 200])
def test_a_tone_is_found_where_its_main_lobe_begins(adapter, k):
    # A Hann window spreads a tone in the middle of bin k over k - 1, k and
    # k + 1; before them is nothing, so the envelope jumps from k - 2.
    tone = torch.sin(2 * torch.pi * k / 512 * torch.arange(8192.0))
    inner = STFT()(tone[None]).abs()[:, :, 4:-4]  # edges are not one tone
    assert adapter(inner).unique().tolist() == [k - 2]


def test_a_step_in_the_spectrum_is_found(adapter):
    step = torch.full((1, 257, 4), 1.0)
    step[:, 101:] = 50.0
    assert adapter(step).unique().tolist() == [100]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_rise_from_zero_is_the_steepest(adapter, dtype):
    # In half precision eps would be zero, and 0 / 0 would win.
    frame = torch.tensor([0.0, 0.0, 1e-3, 9.0], dtype=dtype)
    assert adapter(frame.reshape(1, -1, 1)).item() == 1


def test_half_precision_and_autocast(adapter):
    # Slopes 100 and 100.4, which bfloat16 could not tell apart.
    half = torch.tensor([1.0, 101.0, 10240.0], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert adapter(half.reshape(1, -1, 1)).item() == 1


def test_bands_are_made_without_reading_values(adapter):
    crossover = adapter(torch.empty(2, 257, 9, device="meta"))
    low, high = band_masks(crossover, 257)
    assert crossover.shape == (2, 9) and crossover.dtype == torch.int64
    assert low.device.type == high.device.type == "meta"


def test_bands_share_the_crossover_and_cover_all_bins():
    torch.manual_seed(0)
    crossover = torch.randint(0, 33, (4, 50))
    low, high = band_masks(crossover, 33)
    assert (low | high).all()
    shared = low & high
    assert shared.sum(1).eq(1).all()
    assert shared.int().argmax(1).equal(crossover)
    assert low[:, 0].all() and high[:, -1].all()
    low, high = band_masks(torch.tensor([[1]]), n_bins=4)
    assert low.flatten().tolist() == [True, True, False, False]
    assert high.flatten().tolist() == [False, True, True, True]


def test_eps_must_be_positive():
    with pytest.raises(UserError, match="eps must be positive, got 0"):
        FrequencyAdapter(eps=0)


ADAPTERS = [
    SpectralRolloff(),
    FallingEnvelope(),
    LogMagnitudeSlope(9),
    FixedSplit(20),
    RandomSplit(3),
    SmoothedOverTime(FallingEnvelope(), 3),
    FrequencyAdapter(),
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
    """Smoothed noise: several rising and falling stretches in each frame."""
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
