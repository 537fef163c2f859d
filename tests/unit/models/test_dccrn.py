"""DCCRN: contract, look-ahead, masks, what its layers see, safety."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.models import DCCRN, Enhanced
from speechbrain_dfkd.models.dccrn import MASKS

SIZES = Path(__file__).parents[3] / "hparams/models"


def small(**changes):
    torch.manual_seed(0)
    return DCCRN(**({"channels": (4, 6), "lstm_units": 5} | changes))


def settle(model):
    """Give the batch normalisations statistics other than 0 and 1."""
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(2, 4000))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "millions"),
    [("cl", 3.67), ("half", 0.92), ("quarter", 0.23), ("eighth", 0.06)],
)
def test_sizes_have_the_published_numbers_of_parameters(name, millions):
    with open(SIZES / f"dccrn_{name}.yaml") as file:
        model = load_hyperpyyaml(file)["model"]
    count = sum(p.numel() for p in model.parameters())
    assert round(count / 1e6, 2) == millions


def test_defaults_are_the_published_size():
    with open(SIZES / "dccrn_cl.yaml") as file:
        published = load_hyperpyyaml(file)["model"]
    ours = DCCRN()
    assert ours.settings == published.settings
    for name, weight in published.state_dict().items():
        assert ours.state_dict()[name].shape == weight.shape, name


@pytest.mark.parametrize("rnn", ["complex", "real"])
@pytest.mark.parametrize("time_padding", ["left", "none"])
@pytest.mark.parametrize("dropped_bin", ["dc", "nyquist"])
@pytest.mark.parametrize("length", [1, 399, 1601])
def test_output_is_as_long_as_the_input(rnn, time_padding, dropped_bin, length):
    model = small(rnn=rnn, time_padding=time_padding, dropped_bin=dropped_bin)
    out = model(torch.randn(2, length))
    assert isinstance(out, Enhanced)
    assert out.wav.shape == (2, length)
    assert out.features == {}


def test_short_input_of_a_deep_network_without_padding():
    model = settle(small(channels=(2,) * 6, time_padding="none"))
    noisy = torch.randn(2, 599)
    padded = torch.cat((noisy, torch.zeros(2, 1)), 1)
    with torch.no_grad():
        wav = model(noisy).wav
        assert wav.equal(model(padded).wav[:, :599])


@pytest.mark.parametrize("time_padding", ["left", "none"])
@pytest.mark.parametrize("kernel_time", [1, 2])
def test_output_looks_a_frame_ahead_per_layer(time_padding, kernel_time):
    model = settle(
        small(time_padding=time_padding, kernel_size=(5, kernel_time))
    )
    # Two half windows, less their zero sample each, and 2 layers' frames.
    look_ahead = 398 + 100 * 2 * (kernel_time - 1)
    start = 4000
    noisy = torch.randn(1, 8000)
    changed = noisy.clone()
    changed[:, start:] = 1000 * torch.randn(1, 4000)
    with torch.no_grad():
        before, after = model(noisy).wav[0], model(changed).wav[0]
    moved = before != after
    first = start - look_ahead
    assert not moved[:first].any()
    # Which sample of a hop is first depends on where the frames lie.
    assert moved[first : first + 100].any()


@pytest.mark.parametrize("rnn", ["complex", "real"])
def test_items_of_a_batch_do_not_mix(rnn):
    model, noisy = settle(small(rnn=rnn)), torch.randn(2, 2001)
    with torch.no_grad():
        together = model(noisy).wav
        alone = torch.cat([model(item[None]).wav for item in noisy])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_strided_input_gives_the_same():
    model, noisy = settle(small()), torch.randn(2000, 2)
    with torch.no_grad():
        expected = model(noisy.T.contiguous()).wav
        torch.testing.assert_close(model(noisy.T).wav, expected)


@pytest.mark.parametrize("dropped_bin", ["dc", "nyquist"])
def test_mask_of_one_only_removes_the_dropped_bin(dropped_bin, monkeypatch):
    model = small(mask="C", dropped_bin=dropped_bin)
    one = torch.tensor([1.0, 0.0])[:, None, None]
    monkeypatch.setattr(
        model.mask_net, "forward", lambda x, _: (one.expand_as(x), {})
    )
    noisy = torch.randn(1, 4000)
    removed = model.stft(noisy)
    others = slice(1, None) if dropped_bin == "dc" else slice(None, -1)
    removed[:, others] = 0
    expected = noisy - model.stft.inverse(removed, 4000)
    torch.testing.assert_close(model(noisy).wav, expected, atol=1e-5, rtol=0)


def test_masks_follow_their_definitions():
    spec = torch.tensor([3 + 4j]).view(1, 1, 1)
    mask = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)
    of = {name: apply(spec, mask).item() for name, apply in MASKS.items()}
    # 2i turns by a quarter and doubles; E bounds the 2 to tanh(2).
    assert of["C"] == pytest.approx(-8 + 6j)
    assert of["E"] == pytest.approx((-4 + 3j) * 0.96402758)
    assert of["R"] == pytest.approx(8j)


@pytest.mark.parametrize("mask", sorted(MASKS))
def test_gradient_is_finite_at_mask_zero(mask):
    zeros = torch.zeros(1, 2, 3, 4, requires_grad=True)
    spec = torch.randn(1, 3, 4, dtype=torch.complex64)
    MASKS[mask](spec, zeros).abs().square().sum().backward()
    assert zeros.grad.isfinite().all()
    (moved,) = torch.autograd.grad(MASKS[mask](spec, zeros).real.sum(), zeros)
    assert moved.isfinite().all() and moved[:, 0].abs().min() > 0


@pytest.mark.parametrize("mask", sorted(MASKS))
def test_every_parameter_learns_and_silence_is_safe(mask):
    model = small(mask=mask)
    noisy = torch.randn(2, 2001)
    noisy[1] = 0
    out = model(noisy).wav
    assert out[1].abs().max() == 0
    (out - torch.randn_like(out)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_only_features_asked_for_are_returned():
    model = small()
    names = model.mask_net.feature_names
    assert names == [
        *("encoder.0", "encoder.1", "rnn", "decoder.0", "decoder.1")
    ]
    features = model(torch.randn(2, 1601), features=names).features
    shapes = [tuple(features[name].shape) for name in names]
    assert shapes == [
        (2, 8, 128, 18),
        (2, 12, 64, 18),
        (2, 12, 64, 18),
        (2, 8, 128, 18),
        (2, 2, 256, 18),
    ]
    one = model(torch.randn(2, 1601), features=["rnn"]).features
    assert list(one) == ["rnn"]
    with pytest.raises(ValueError, match="encoder.0, encoder.1, rnn"):
        model(torch.randn(2, 1601), features=["encoder.7"])


def test_bfloat16_autocast_stays_close():
    model, noisy = small(), torch.randn(2, 4000)
    exact = model(noisy).wav
    with torch.autocast("cpu", torch.bfloat16):
        half = model(noisy).wav
    assert half.dtype == torch.float32
    assert (half - exact).norm() < 0.1 * exact.norm()
    half.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_runs_on_the_meta_device():
    with torch.device("meta"):
        model = DCCRN()
    wav = model(torch.empty(2, 16001, device="meta")).wav
    wav.sum().backward()
    assert wav.shape == (2, 16001) and wav.is_meta


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"mask": "X"}, "mask"),
        ({"rnn": "gru"}, "rnn"),
        ({"time_padding": "right"}, "time_padding"),
        ({"dropped_bin": "both"}, "dropped_bin"),
        ({"window": "kaiser"}, "window"),
        ({"channels": ()}, "channels"),
        ({"channels": (2,) * 9}, "channels"),
        ({"channels": (4, 0)}, r"channels\[1\]"),
        ({"kernel_size": (4, 2)}, r"kernel_size\[0\]"),
        ({"kernel_size": (5, 0)}, r"kernel_size\[1\]"),
        ({"lstm_units": 0}, "lstm_units"),
        ({"lstm_layers": 0}, "lstm_layers"),
    ],
)
def test_bad_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must .*got.*; "):
        small(**arguments)


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
