"""DPTNet: contract, sizes, chunks and paths, numerical safety."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.evaluation.complexity import macs_per_second
from speechbrain_dfkd.models import DPTNet, Enhanced, dptnet
from speechbrain_dfkd.models.dptnet import (
    DualPathBlock,
    ImprovedTransformer,
    SequenceNorm,
    join_chunks,
    split_chunks,
)

HPARAMS = Path(__file__).parents[3] / "hparams/models"
TINY = {"n_filters": 8, "chunk_size": 10, "blocks": 2, "heads": 2}
TINY["lstm_units"] = 3
VARIANTS = [{}, {"mask": "sigmoid"}]


def tiny(**changes):
    torch.manual_seed(0)
    return DPTNet(**(TINY | changes))


def of_size(name):
    with open(HPARAMS / f"{name}.yaml") as file:
        return load_hyperpyyaml(file)["model"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("dptnet", 2_798_657),
        ("dptnet_medium", 708_129),
        ("dptnet_small", 170_049),
        ("dptnet_tiny", 39_457),
    ],
)
def test_sizes_have_the_stated_numbers_of_parameters(name, parameters):
    assert sum(p.numel() for p in of_size(name).parameters()) == parameters


def test_tiny_size_costs_what_it_states():
    assert macs_per_second(of_size("dptnet_tiny")) < 100e6


def test_defaults_are_the_published_size():
    states = DPTNet().state_dict(), of_size("dptnet").state_dict()
    shapes = [{k: v.shape for k, v in s.items()} for s in states]
    assert shapes[0] == shapes[1]


# One window, then frames of 1 to 3 steps between chunks, and a bit more.
@pytest.mark.parametrize("length", [1, 15, 16, 17, 48, 55, 56, 57, 88, 1601])
def test_output_is_as_long_as_the_input(length):
    out = tiny()(torch.randn(2, length))
    assert isinstance(out, Enhanced)
    assert out.wav.shape == (2, length)
    assert out.features == {}


def test_end_of_an_odd_length_is_enhanced_too():
    model, noisy = tiny(), torch.randn(1, 1601)
    with torch.no_grad():
        padded = torch.cat((noisy, torch.zeros(1, 7)), 1)
        torch.testing.assert_close(
            model(noisy).wav, model(padded).wav[:, :1601]
        )
        assert model(noisy).wav[:, -1].abs() > 0


class NoMoreThan(ImprovedTransformer):
    """A layer that notes how many sequences it is given at once."""

    def _run(self, x):
        self.sizes.append(len(x))
        return super()._run(x)


def test_a_grid_of_cuda_is_not_exceeded(monkeypatch):
    monkeypatch.setattr(dptnet, "MOST_ATTENTIONS", 11)
    layer = NoMoreThan(8, 2, 3).to("meta")
    for sequences, expected in ((5, [5]), (6, [5, 1]), (12, [5, 5, 2])):
        layer.sizes = []
        x = torch.empty(sequences, 4, 8, device="meta")
        assert layer(x).shape == x.shape
        assert layer.sizes == expected


def test_groups_of_sequences_change_nothing(monkeypatch):
    model, noisy = tiny(), torch.randn(2, 2001)
    grouped = model(noisy).wav
    monkeypatch.setattr(dptnet, "SEQUENCES_AT_ONCE", 7)
    torch.testing.assert_close(model(noisy).wav, grouped)


@pytest.mark.parametrize(("changed", "watched"), [(0, -100), (-1, 100)])
def test_every_sample_reaches_every_other(changed, watched):
    model, noisy = tiny(), torch.randn(1, 8000)
    other = noisy.clone()
    other[:, changed] += 10
    with torch.no_grad():
        moved = (model(noisy).wav != model(other).wav)[0]
    assert moved[watched:].any() if watched < 0 else moved[:watched].any()


def test_items_of_a_batch_do_not_mix():
    model, noisy = tiny(), torch.randn(2, 2001)
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
    # What the rectified encoder loses of one sign, it has of the other.
    both = torch.cat((torch.eye(16), -torch.eye(16)))[:, None]
    with torch.no_grad():
        model.encoder.weight.copy_(both)
        model.decoder.weight.copy_(both)
        noisy = torch.randn(1, 160)
        wav = model(noisy).wav
    # Every sample lies in two frames, those of the first and last step in one.
    torch.testing.assert_close(wav[:, 8:-8], 2 * noisy[:, 8:-8])
    torch.testing.assert_close(wav[:, :8], noisy[:, :8])
    torch.testing.assert_close(wav[:, -8:], noisy[:, -8:])


def test_mask_is_a_value_times_its_gate():
    model = tiny()
    torch.nn.init.zeros_(model.gate.weight)
    with torch.no_grad():
        model.gate.bias.copy_(torch.tensor(8 * [50.0] + 8 * [0.0]))
        mask = model(torch.randn(1, 160), ["mask"]).features["mask"]
    assert mask.unique().tolist() == [0.5]  # tanh(50) sigmoid(0)


def test_mask_is_bounded_as_stated():
    of = {}
    for mask in ("sigmoid", "relu"):
        model = tiny(mask=mask)
        torch.nn.init.normal_(model.gate.weight, std=9)
        with torch.no_grad():
            of[mask] = model(torch.randn(1, 1600), ["mask"]).features["mask"]
    assert 0.26 < of["sigmoid"].min() < 0.3 < 0.7 < of["sigmoid"].max() < 0.74
    assert of["relu"].min() == 0 and 0.9 < of["relu"].max() <= 1


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
    model = tiny()
    names = model.feature_names
    assert names == ["encoder", "block.0", "block.1", "mask"]
    features = model(torch.randn(2, 1601), features=names).features
    assert list(features) == names
    assert {f.shape for f in features.values()} == {(2, 8, 200)}
    one = model(torch.randn(2, 1601), features=["block.1"]).features
    assert list(one) == ["block.1"]
    with pytest.raises(ValueError, match="encoder, block.0, block.1"):
        model(torch.randn(2, 1601), features=["block.2"])


def test_bfloat16_autocast_stays_close():
    model, noisy = tiny(n_filters=32, lstm_units=16), torch.randn(2, 4000)
    exact = model(noisy).wav
    with torch.autocast("cpu", torch.bfloat16):
        half = model(noisy).wav
    assert half.dtype == torch.float32
    assert (half - exact).norm() < 0.02 * exact.norm()
    half.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_runs_on_the_meta_device():
    with torch.device("meta"):
        model = tiny()
    wav = model(torch.empty(2, 801, device="meta")).wav
    wav.sum().backward()
    assert wav.shape == (2, 801) and wav.is_meta


@pytest.mark.parametrize("name", [*TINY, "filter_length"])
def test_size_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must .*got 0; "):
        tiny(**{name: 0})


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"mask": "tanh"}, "mask"),
        ({"filter_length": 17}, "filter_length"),
        ({"chunk_size": 11}, "chunk_size"),
        ({"heads": 3}, "n_filters"),
    ],
)
def test_bad_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must .*got.*; "):
        tiny(**arguments)


@pytest.mark.parametrize(
    ("noisy", "constraint"),
    [
        (torch.zeros(1, 0), "have samples"),
        (torch.zeros(400), "have shape"),
        (torch.zeros(1, 400, dtype=torch.int16), "be floating point"),
        (torch.full((1, 400), torch.nan), "be finite"),
    ],
)
def test_bad_waveform_is_refused(noisy, constraint):
    with pytest.raises(ValueError, match=f"^noisy must {constraint}.*got.*; "):
        tiny()(noisy)


@pytest.mark.parametrize("length", [1, 4, 5, 6, 10, 11, 99])
@pytest.mark.parametrize("chunk_size", [2, 10])
def test_joined_chunks_are_the_sequence(length, chunk_size):
    x = torch.randn(2, length, 3)
    chunks = split_chunks(x, chunk_size)
    assert chunks.shape[1:] == (2 * length // chunk_size + 3, chunk_size, 3)
    torch.testing.assert_close(join_chunks(chunks, length), x)


def test_chunks_overlap_by_half():
    chunks = split_chunks(torch.arange(1.0, 9).view(1, 8, 1), 4)
    assert chunks[0, 1:4, :, 0].tolist() == [
        [0, 0, 1, 2],
        [1, 2, 3, 4],
        [3, 4, 5, 6],
    ]


def test_zeros_fill_all_of_the_first_chunk():
    chunks = split_chunks(torch.tensor([[[1.0], [2.0], [3.0]]]), 2)
    assert chunks[0, ..., 0].tolist() == [
        *([0, 0], [0, 1], [1, 2], [2, 3], [3, 0], [0, 0])
    ]


def test_join_adds_the_two_chunks_of_a_frame():
    chunks = torch.zeros(1, 7, 4, 1)
    chunks[0, 2] = 2  # frames 0 to 3
    joined = join_chunks(chunks, 8)[0, :, 0]
    assert joined.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("idle", "reached"),
    [("inter", (0, 2)), ("intra", (0, slice(None), 3))],
)
@torch.no_grad()
def test_path_hears_its_own_axis(idle, reached):
    block, chunks = DualPathBlock(4, 2, 3), torch.randn(2, 6, 5, 4)
    setattr(block, idle, torch.nn.Identity())
    changed = chunks.clone()
    changed[0, 2, 3] += 10
    expected = torch.zeros(2, 6, 5, dtype=torch.bool)
    expected[reached] = True
    assert torch.equal((block(chunks) != block(changed)).any(3), expected)


@torch.no_grad()
def test_both_paths_together_hear_the_whole_item():
    block, chunks = DualPathBlock(4, 2, 3), torch.randn(2, 6, 5, 4)
    changed = chunks.clone()
    changed[0, 2, 3] += 10
    moved = (block(chunks) != block(changed)).any(3)
    assert moved[0].all() and not moved[1].any()


def test_sequence_norm_follows_its_definition():
    norm = SequenceNorm(3)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 2 + torch.randn(2, 7, 3)
    mean = x.mean((1, 2), keepdim=True)
    deviation = x.std((1, 2), correction=0, keepdim=True)
    expected = (x - mean) / deviation * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), expected)
    half = x.bfloat16()
    torch.testing.assert_close(norm(half), norm(half.float()))


def test_layer_is_a_transformer_with_an_lstm():
    layer = ImprovedTransformer(8, heads=2, lstm_units=3)
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs = {
        "in_proj_weight": layer.attention_in.weight,
        "in_proj_bias": layer.attention_in.bias,
        "out_proj.weight": layer.attention_out.weight,
        "out_proj.bias": layer.attention_out.bias,
    }
    attention.load_state_dict(theirs)
    x = torch.randn(5, 7, 8)
    heard = layer.attention_norm(x + attention(x, x, x)[0])
    expected = layer.norm(heard + layer.project(layer.lstm(heard)[0].relu()))
    torch.testing.assert_close(layer(x), expected)
