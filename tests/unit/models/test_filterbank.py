"""A start from an MDCT: the untrained network returns its input."""

import pytest
import torch

from speechbrain_dfkd.models import ConvTasNet, DPTNet
from speechbrain_dfkd.models.filterbank import mdct_filters

CONV_TASNET = {"bottleneck_channels": 4, "hidden_channels": 6}
CONV_TASNET |= {"skip_channels": 5, "blocks": 2, "repeats": 1}
DPTNET = {"chunk_size": 10, "blocks": 1, "heads": 2, "lstm_units": 3}


def build(kind, initial_filters="mdct", n_filters=40, **changes):
    torch.manual_seed(0)
    sizes = CONV_TASNET if kind is ConvTasNet else DPTNET
    changes = sizes | {"initial_filters": initial_filters} | changes
    return kind(n_filters, 32, **changes)


def test_overlapping_frames_add_up_to_the_signal():
    filters = mdct_filters(4)
    signal = torch.randn(40)
    out = torch.zeros(40)
    for start in range(0, 33, 4):  # by the definition, frame after frame
        frame = slice(start, start + 8)
        out[frame] += filters.mT @ (filters @ signal[frame])
    torch.testing.assert_close(out[4:36], signal[4:36])
    assert not torch.allclose(out[:4], signal[:4])  # the aliases remain


def test_filters_are_orthonormal_to_all_others():
    filters = mdct_filters(8)
    next_frame = filters[:, :8] @ filters[:, 8:].mT
    assert torch.allclose(filters @ filters.mT, torch.eye(8), atol=1e-6)
    assert torch.allclose(next_frame, torch.zeros(8, 8), atol=1e-6)


@pytest.mark.parametrize("mask", ["sigmoid", "relu"])
@pytest.mark.parametrize("kind", [ConvTasNet, DPTNet])
def test_untrained_network_returns_its_input(kind, mask):
    noisy = torch.randn(2, 1600)
    enhanced = build(kind, mask=mask)(noisy).wav
    inner = slice(16, -16)
    torch.testing.assert_close(enhanced[:, inner], noisy[:, inner])


@pytest.mark.parametrize("kind", [ConvTasNet, DPTNet])
def test_every_filter_is_trained(kind):
    model = build(kind)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = [p.clone() for p in model.parameters()]
    noisy = torch.randn(2, 400)
    for _ in range(2):  # the mask's own weights come first, then what it sees
        optimizer.zero_grad()
        (model(noisy).wav - 0.5 * noisy.roll(1, 1)).square().mean().backward()
        optimizer.step()
    names = [name for name, _ in model.named_parameters()]
    still = [
        name
        for name, old, new in zip(
            names, before, model.parameters(), strict=True
        )
        if torch.equal(old, new)
    ]
    assert still == []


@pytest.mark.parametrize("kind", [ConvTasNet, DPTNet])
def test_default_is_the_published_random_start(kind):
    models = build(kind, "random"), build(kind, "mdct")
    encoders = [model.encoder.weight for model in models]
    torch.testing.assert_close(encoders[0][32:], encoders[1][32:])
    assert not torch.allclose(encoders[0][:16], encoders[1][:16])


@pytest.mark.parametrize(("kind", "least"), [(ConvTasNet, 16), (DPTNet, 32)])
def test_too_few_filters_are_refused(kind, least):
    build(kind, n_filters=least)
    with pytest.raises(ValueError, match=f"n_filters must be at least {least}"):
        build(kind, n_filters=least - 2)
    with pytest.raises(ValueError, match="initial_filters must be one of"):
        build(kind, "fourier")


@pytest.mark.parametrize("kind", [ConvTasNet, DPTNet])
def test_start_needs_no_device(kind):
    with torch.device("meta"):
        assert build(kind)(torch.randn(1, 100)).wav.shape == (1, 100)
