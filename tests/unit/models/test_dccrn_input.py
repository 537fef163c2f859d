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


def test_levels_are_normalised_for_the_layers_and_kept_in_the_output():
    noisy = torch.randn(2, 4000)
    gains = torch.tensor([[0.01], [3.0]])
    model = small(normalise_level=True).eval()
    plain = small().eval()
    expected = gains * model(noisy).wav
    torch.testing.assert_close(
        model(gains * noisy).wav, expected, rtol=1e-4, atol=1e-5
    )
    # What a network without it does not do.
    assert not torch.allclose(
        plain(gains * noisy).wav, gains * plain(noisy).wav, rtol=0.1, atol=1e-3
    )


def test_layers_see_a_waveform_of_level_one():
    noisy = torch.randn(2, 4000)
    level = noisy.square().mean(1, keepdim=True).sqrt()
    seen = []
    for model, wav in (
        (small(normalise_level=True), noisy),
        (small(), noisy / level),
    ):
        model.mask_net.register_forward_pre_hook(
            lambda _, args: seen.append(args[0])
        )
        model(wav)
    torch.testing.assert_close(*seen)


def test_normalised_silence_stays_silent():
    model = small(normalise_level=True, input_compression=0.3)
    wav = model(torch.zeros(1, 4000)).wav
    wav.sum().backward()
    assert wav.equal(torch.zeros(1, 4000))
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


def test_a_normalised_network_looks_at_the_whole_utterance():
    model, noisy = small(normalise_level=True).eval(), torch.randn(1, 8000)
    changed = noisy.clone()
    changed[:, -1] += 10
    with torch.no_grad():
        moved = model(noisy).wav != model(changed).wav
    assert moved[:, :100].any()
