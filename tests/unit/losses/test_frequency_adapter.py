"""The crossover of a frame against the reference and against physics."""

import dfkd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.crossover import FrequencyAdapter, band_masks
from speechbrain_dfkd.stft import STFT


@pytest.fixture
def magnitudes():
    """Smoothed noise: several rising stretches in each frame."""
    torch.manual_seed(0)
    return torch.randn(3, 65, 20).abs().cumsum(1).sin().abs()


@pytest.fixture
def adapter():
    return FrequencyAdapter()


def test_matches_the_reference(adapter, magnitudes):
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
def test_level_does_not_matter(adapter, magnitudes, gain):
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


def test_no_gradient_passes(adapter, magnitudes):
    assert not adapter(magnitudes.requires_grad_()).requires_grad


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


def test_runs_without_reading_values(adapter):
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
