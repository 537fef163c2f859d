"""DCCRN: what its layers see of the noisy spectrum."""

import pytest
import torch

from speechbrain_dfkd.models import DCCRN


def small(**changes):
    torch.manual_seed(0)
    return DCCRN(**({"channels": (4, 6), "lstm_units": 5} | changes))


def test_compression_is_of_what_the_layers_see():
    noisy = torch.randn(1, 4000)
    seen = {}
    for exponent in (1.0, 0.3):
        model = small(input_compression=exponent)
        model.mask_net.register_forward_pre_hook(
            lambda _, args, exponent=exponent: seen.update({exponent: args[0]})
        )
        model(noisy)
    magnitude, compressed = (x.norm(dim=1) for x in seen.values())
    torch.testing.assert_close(compressed, magnitude.pow(0.3))
    # The phase stays.
    torch.testing.assert_close(
        seen[0.3] / compressed[:, None], seen[1.0] / magnitude[:, None]
    )


def test_compression_is_safe_where_there_is_nothing():
    model = small(input_compression=0.3)
    wav = model(torch.zeros(1, 4000)).wav
    wav.sum().backward()
    assert wav.isfinite().all()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    with pytest.raises(ValueError, match="input_compression must be above 0"):
        small(input_compression=0)


def test_dc_gain_scales_what_the_network_sees_of_bin_0():
    model = DCCRN((2, 4), lstm_units=3, dropped_bin="nyquist", dc_gain=0.5)
    seen = {}

    def mask_net(stacked, features):
        seen["stacked"] = stacked
        return torch.ones_like(stacked), {}

    model.mask_net.forward = mask_net
    noisy = torch.randn(1, 1600)
    model(noisy)
    spec = model.stft(noisy)[:, :-1]
    expected = torch.view_as_real(spec).movedim(-1, 1).clone()
    expected[:, :, 0] *= 0.5
    assert seen["stacked"].equal(expected)


def test_dc_gain_of_a_dropped_bin_is_refused():
    with pytest.raises(ValueError, match="dc_gain must be 1"):
        DCCRN((2, 4), lstm_units=3, dc_gain=0.5)
