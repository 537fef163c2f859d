"""The STFT against known spectra, and its exact inverse."""

import math
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.stft import STFT

SIZES = [
    (512, 512, 128), (512, 400, 100), (512, 400, 170), (64, 32, 16),
    (512, 400, 200), (512, 512, 256), (63, 50, 25), (64, 46, 23),
]  # fmt: skip


def masked(spec):
    """Return a spectrum that is no waveform's: a random gain and phase."""
    return spec * torch.randn_like(spec)


@pytest.mark.parametrize("window", ["hann", "sqrt_hann"])
@pytest.mark.parametrize("sizes", SIZES)
def test_inverse_restores_the_waveform(sizes, window):
    stft = STFT(*sizes, window=window)
    n_fft, _, hop = sizes
    lengths = [*range(1, 2 * hop), *range(1600, 1600 + hop + 1)]
    for length in lengths[:: 1 if hop < 50 else 7] + lengths[-3:]:
        wav = torch.randn(2, length)
        spec = stft(wav)
        n_frames = 1 + math.ceil(length / hop)
        assert spec.shape == (2, n_fft // 2 + 1, n_frames)
        assert spec.dtype == torch.complex64
        torch.testing.assert_close(
            stft.inverse(spec, length), wav, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("window", ["hann", "sqrt_hann"])
@pytest.mark.parametrize("sizes", SIZES)
def test_no_remainder_makes_the_end_of_a_masked_spectrum_loud(sizes, window):
    torch.manual_seed(0)
    stft = STFT(*sizes, window=window)
    hop = stft.hop_length
    for length in range(2000, 2000 + hop + 1):
        wav = stft.inverse(masked(stft(torch.randn(1, length))), length)[0]
        end, before = wav[-hop:], wav[:-hop]
        assert end.abs().max() < 3 * before.abs().max(), length % hop


def test_gradient_of_the_end_is_as_large_as_any():
    stft = STFT(64, 50, 25)
    for length in range(300, 326):
        spec = masked(stft(torch.randn(1, length))).requires_grad_()
        stft.inverse(spec, length).sum().backward()
        frames = spec.grad.abs().amax(1)[0]
        assert frames[-3:].max() < 3 * frames[:-3].max(), length % 25


def test_frames_inside_are_those_of_pytorch():
    for sizes in SIZES[:4]:
        stft, wav = STFT(*sizes), torch.randn(2, 1699)
        n_fft, win_length, hop = sizes
        theirs = torch.stft(
            wav, n_fft, hop, win_length, stft.window, return_complex=True
        )
        ours = stft(wav)
        assert ours.shape[2] == theirs.shape[2] + 1
        assert ours[..., :-1].equal(theirs)
        # What it adds lies beyond the end and does not count.
        assert not stft.frame_mask(torch.ones(2), 1699)[:, -1].any()


def test_spectrum_of_another_length_is_refused():
    stft = STFT(64, 32, 16)
    with pytest.raises(ValueError, match="^spec must have 11 frames .* got 12"):
        stft.inverse(stft(torch.randn(1, 170)), 160)


def test_sinusoid_of_a_bin_has_half_the_sum_of_the_window():
    k = 20
    wav = 3 * torch.sin(2 * math.pi * k / 512 * torch.arange(4096))[None]
    magnitude = STFT(512, 512, 128)(wav).abs()[0, :, 10]
    # Amplitude 3, halved between +k and -k; a Hann window sums to 256.
    assert magnitude[k].item() == pytest.approx(3 * 256 / 2, rel=1e-4)
    assert magnitude[k + 1].item() == pytest.approx(3 * 256 / 4, rel=1e-3)
    assert magnitude[k + 5 :].max() < 1e-2


def test_frame_is_centred_at_its_number_times_the_hop():
    wav = torch.zeros(1, 4000)
    wav[0, 1700] = 1
    energy = STFT(512, 400, 100)(wav).abs().square().sum(1)[0]
    assert energy.argmax() == 17
    assert (energy > 1e-9).nonzero().flatten().tolist() == [16, 17, 18]


def test_frame_mask_counts_frames_centred_before_the_end():
    mask = STFT(4, hop_length=2).frame_mask(torch.tensor([0.5, 1]), 8)
    assert mask.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    mask = STFT(8, hop_length=4).frame_mask(torch.tensor([1.0, 0.5, 0.4]), 20)
    # Centres 0, 4, 8, 12, 16, 20 against ends 20, 10, 8.
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [5, 3, 2]


def test_computes_in_float32_under_autocast():
    stft, wav = STFT(512, 400, 100), torch.randn(1, 1600)
    expected = stft(wav)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(stft(wav), expected)
        restored = stft.inverse(expected, 1600)
    torch.testing.assert_close(restored, wav, rtol=0, atol=1e-4)
    assert stft(wav.half()).dtype == torch.complex64


def test_gradient_passes_both_ways():
    stft = STFT(64, 48, 16)
    wav = torch.randn(1, 200, requires_grad=True)
    weight = torch.randn(1, 200)
    (stft.inverse(stft(wav), 200) * weight).sum().backward()
    torch.testing.assert_close(wav.grad, weight, rtol=0, atol=1e-5)


def test_runs_on_the_meta_device_and_leaves_no_state():
    stft = STFT().to("meta")
    wav = torch.empty(2, 3001, device="meta")
    assert stft.inverse(stft(wav), 3001).shape == (2, 3001)
    assert not stft.state_dict()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"window": "kaiser"}, "window"),
        ({"n_fft": 0}, "n_fft"),
        ({"win_length": 600}, "win_length"),
        ({"win_length": 401}, "win_length"),
        ({"hop_length": 300}, "hop_length"),
    ],
)
def test_bad_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        STFT(**arguments)


def test_without_arguments_it_is_the_published_one():
    leaf = Path(__file__).parents[2] / "hparams/kd/dfkd.yaml"
    published = load_hyperpyyaml(leaf.read_text())["stft"]
    for name in ("n_fft", "win_length", "hop_length"):
        assert getattr(STFT(), name) == getattr(published, name), name
    assert STFT().window.equal(published.window)
