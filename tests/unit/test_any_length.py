"""Networks and losses take waveforms of any length, from one sample on."""

import pytest
import torch
from small_networks import NETWORKS, dccrn

from speechbrain_dfkd.losses import si_snr_loss, si_snr_spectrum_loss, snr_loss
from speechbrain_dfkd.models import DCCRN

SHORT = [1, 2, 5, 320]


def gradients(model):
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("length", SHORT)
@pytest.mark.parametrize("loss", [si_snr_loss, snr_loss, si_snr_spectrum_loss])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_short_clip_trains_every_network(name, loss, length):
    torch.manual_seed(0)
    make, settings = NETWORKS[name]
    model = make(**settings)
    noisy, clean = torch.randn(2, 1, length)
    wav = model(noisy).wav
    assert wav.shape == noisy.shape
    value = loss(wav, clean, torch.ones(1))
    value.backward()
    assert value.isfinite()
    assert gradients(model)
    assert all(gradient.isfinite().all() for gradient in gradients(model))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_short_clip_is_enhanced_as_if_zeros_followed(name):
    make, settings = NETWORKS[name]
    model, noisy = make(**settings).eval(), torch.randn(1, 5)
    window = 32 if name.startswith("dccrn") else 16
    padded = torch.cat((noisy, torch.zeros(1, window - 5)), 1)
    with torch.no_grad():
        assert model(noisy).wav.equal(model(padded).wav[:, :5])


@pytest.mark.parametrize("time_padding", ["left", "none"])
@pytest.mark.parametrize("sizes", [(32, 32, 16), (32, 30, 15), (32, 26, 13)])
def test_no_remainder_makes_the_end_of_an_output_loud(sizes, time_padding):
    torch.manual_seed(0)
    n_fft, win_length, hop_length = sizes
    model = dccrn(
        n_fft=n_fft, win_length=win_length, hop_length=hop_length,
        time_padding=time_padding, mask="C",
    )  # fmt: skip
    for length in range(400, 400 + hop_length + 1):
        noisy = torch.randn(8, length)
        wav = model(noisy).wav
        end, before = wav[:, -hop_length:], wav[:, :-hop_length]
        assert end.abs().max() < 3 * before.abs().max(), length % hop_length


def test_gradient_does_not_depend_on_the_remainder():
    torch.manual_seed(0)
    model = DCCRN((4, 6), 5, hop_length=200)
    norms = []
    for length in (3800, 3990, 3998, 3999):
        model.zero_grad()
        noisy, clean = torch.randn(2, 2, length)
        snr_loss(model(noisy).wav, clean, torch.ones(2)).backward()
        norms.append(torch.cat([g.flatten() for g in gradients(model)]).norm())
    assert max(norms) < 3 * min(norms)
