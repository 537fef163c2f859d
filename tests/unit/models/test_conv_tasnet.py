"""Conv-TasNet: contract, look-ahead, norms, numerical safety."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.models import ConvTasNet, Enhanced
from speechbrain_dfkd.models.conv_tasnet import NORMS

HPARAMS = Path(__file__).parents[3] / "hparams/models"
TINY = {
    "n_filters": 8,
    "bottleneck_channels": 4,
    "hidden_channels": 6,
    "skip_channels": 5,
    "blocks": 3,
    "repeats": 2,
}
CAUSAL = {"norm": "cumulative", "causal": True}
VARIANTS = [{}, {"norm": "cumulative"}, CAUSAL, {"mask": "relu"}]


def tiny(**changes):
    torch.manual_seed(0)
    return ConvTasNet(**(TINY | changes))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("conv_tasnet", 5_000_881),
        ("conv_tasnet_medium", 1_288_049),
        ("conv_tasnet_small", 340_945),
        ("conv_tasnet_tiny", 83_777),
    ],
)
def test_sizes_have_the_stated_numbers_of_parameters(name, parameters):
    with open(HPARAMS / f"{name}.yaml") as file:
        model = load_hyperpyyaml(file)["model"]
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_defaults_are_the_published_size():
    with open(HPARAMS / "conv_tasnet.yaml") as file:
        published = load_hyperpyyaml(file)["model"].state_dict()
    ours = ConvTasNet().state_dict()
    shapes = [{k: v.shape for k, v in s.items()} for s in (ours, published)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("length", [1, 31, 32, 33, 1601])
def test_output_is_as_long_as_the_input(variant, length):
    out = tiny(**variant)(torch.randn(2, length))
    assert isinstance(out, Enhanced)
    assert out.wav.shape == (2, length)
    assert out.features == {}


def test_end_of_an_odd_length_is_enhanced_too():
    model, noisy = tiny(), torch.randn(1, 1601)
    with torch.no_grad():
        padded = torch.cat((noisy, torch.zeros(1, 15)), 1)
        torch.testing.assert_close(
            model(noisy).wav, model(padded).wav[:, :1601]
        )
        assert model(noisy).wav[:, -1].abs() > 0


@pytest.mark.parametrize(
    ("causal", "kernel_size", "look_ahead"),
    [
        (True, 3, 31),
        # Two repeats of dilations 1, 2 and 4, a frame every 16 samples.
        (False, 3, 31 + 2 * 7 * 16),
        (False, 5, 31 + 2 * 7 * 2 * 16),
    ],
)
def test_output_looks_ahead_as_far_as_its_blocks_reach(
    causal, kernel_size, look_ahead
):
    model = tiny(norm="cumulative", causal=causal, kernel_size=kernel_size)
    # The last sample of a window, so that all of the look-ahead is used.
    start = 2000 // 16 * 16 + 31
    noisy = torch.randn(1, 4000)
    changed = noisy.clone()
    changed[:, start:] = 1000 * torch.randn(1, 4000 - start)
    with torch.no_grad():
        moved = (model(noisy).wav != model(changed).wav)[0]
    first = start - look_ahead
    assert not moved[:first].any()
    assert moved[first]


def test_global_norm_looks_at_everything():
    model = tiny()
    noisy = torch.randn(1, 8000)
    changed = noisy.clone()
    changed[:, -1] += 10
    with torch.no_grad():
        moved = model(noisy).wav != model(changed).wav
    assert moved[:, :100].any()


@pytest.mark.parametrize("name", sorted(NORMS))
def test_norms_follow_their_definitions(name):
    norm = NORMS[name](3)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 2 + torch.randn(2, 3, 7)
    for frame in range(7):
        seen = x[:, :, : frame + 1] if name == "cumulative" else x
        mean = seen.mean((1, 2))[:, None]
        deviation = seen.std((1, 2), correction=0)[:, None]
        expected = (x[..., frame] - mean) / deviation * norm.weight + norm.bias
        torch.testing.assert_close(norm(x)[..., frame], expected)


def test_norms_of_a_few_numbers():
    x = torch.tensor([[[1.0, 3.0], [3.0, 1.0]]])  # mean 2, deviation 1
    assert NORMS["global"](2)(x).tolist() == [[[-1, 1], [1, -1]]]
    x = torch.tensor([[[1.0, 6.0], [3.0, 6.0]]])
    normed = NORMS["cumulative"](2)(x)[0]
    assert normed[:, 0].tolist() == pytest.approx([-1, 1], abs=1e-3)
    # Of 1, 3, 6, 6: mean 4, variance 4.5.
    assert normed[0, 1].item() ** 2 == pytest.approx(4 / 4.5, abs=1e-3)


@pytest.mark.parametrize("name", sorted(NORMS))
def test_norms_are_safe_at_a_constant_and_in_half_precision(name):
    norm = NORMS[name](4)
    # Of these, some lose their variance to rounding on the wrong side of 0.
    constant = torch.linspace(1, 3, 50)[:, None, None].repeat(1, 4, 100)
    out = norm(constant.requires_grad_())
    out.square().sum().backward()
    assert out.isfinite().all()
    assert constant.grad.isfinite().all()
    half = torch.randn(1, 4, 1000).bfloat16()
    torch.testing.assert_close(norm(half), norm(half.float()))


@pytest.mark.parametrize("variant", [{}, CAUSAL])
def test_items_of_a_batch_do_not_mix(variant):
    model, noisy = tiny(**variant), torch.randn(2, 2001)
    with torch.no_grad():
        together = model(noisy).wav
        alone = torch.cat([model(item[None]).wav for item in noisy])
    torch.testing.assert_close(together, alone)


def test_strided_input_gives_the_same():
    model, noisy = tiny(), torch.randn(2000, 2)
    with torch.no_grad():
        expected = model(noisy.T.contiguous()).wav
        torch.testing.assert_close(model(noisy.T).wav, expected)


def test_mask_of_one_overlaps_and_adds_the_frames(monkeypatch):
    model = tiny(n_filters=32)
    monkeypatch.setattr(model, "bound_mask", torch.ones_like)
    with torch.no_grad():
        model.encoder.weight.copy_(torch.eye(32)[:, None])
        model.decoder.weight.copy_(torch.eye(32)[:, None])
        noisy = torch.randn(1, 160)
        wav = model(noisy).wav
    # Every sample lies in two frames, those of the first and last step in one.
    torch.testing.assert_close(wav[:, 16:-16], 2 * noisy[:, 16:-16])
    torch.testing.assert_close(wav[:, :16], noisy[:, :16])
    torch.testing.assert_close(wav[:, -16:], noisy[:, -16:])


def test_sigmoid_bounds_the_mask_and_relu_only_its_sign():
    of = {}
    for mask in ("sigmoid", "relu"):
        model = tiny(mask=mask)
        torch.nn.init.normal_(model.mask[1].weight, std=5)
        with torch.no_grad():
            of[mask] = model(torch.randn(1, 1600), ["mask"]).features["mask"]
    assert 0 <= of["sigmoid"].min() < 0.1 and 0.9 < of["sigmoid"].max() <= 1
    assert of["relu"].min() == 0 and of["relu"].max() > 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_and_silence_is_safe(variant):
    model = tiny(**variant)
    noisy = torch.randn(2, 2001)
    noisy[1] = 0
    out = model(noisy).wav
    assert out[1].abs().max() == 0
    (out - torch.randn_like(out)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_only_features_asked_for_are_returned():
    model = tiny(repeats=1)
    names = model.feature_names
    assert names == ["encoder", "block.0", "block.1", "block.2", "mask"]
    features = model(torch.randn(2, 1601), features=names).features
    assert list(features) == names
    channels = [features[name].shape[1] for name in names]
    assert channels == [8, 4, 4, 4, 8]
    assert {tuple(f.shape[::2]) for f in features.values()} == {(2, 100)}
    one = model(torch.randn(2, 1601), features=["block.1"]).features
    assert list(one) == ["block.1"]
    with pytest.raises(ValueError, match="encoder, block.0, block.1"):
        model(torch.randn(2, 1601), features=["block.3"])


@pytest.mark.parametrize("variant", [{}, CAUSAL])
def test_bfloat16_autocast_stays_close(variant):
    model, noisy = tiny(**variant), torch.randn(2, 4000)
    exact = model(noisy).wav
    with torch.autocast("cpu", torch.bfloat16):
        half = model(noisy).wav
    assert half.dtype == torch.float32
    assert (half - exact).norm() < 0.02 * exact.norm()
    half.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_runs_on_the_meta_device():
    with torch.device("meta"):
        model = ConvTasNet()
    wav = model(torch.empty(2, 16001, device="meta")).wav
    wav.sum().backward()
    assert wav.shape == (2, 16001) and wav.is_meta


@pytest.mark.parametrize("name", sorted(TINY) + ["filter_length"])
def test_size_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must .*got 0; "):
        tiny(**{name: 0})


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"norm": "batch"}, "norm"),
        ({"mask": "tanh"}, "mask"),
        ({"causal": True}, "norm"),
        ({"filter_length": 33}, "filter_length"),
        ({"kernel_size": 4}, "kernel_size"),
    ],
)
def test_bad_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must .*got.*; "):
        tiny(**arguments)
