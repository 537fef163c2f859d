"""Multiply-accumulates agree with those counted by hand."""

import warnings

import pytest
import torch
from torch import nn

from speechbrain_dfkd.evaluation.complexity import (
    count_parameters,
    macs_per_second,
)

RATE = 1000


class Around(nn.Module):
    """Cut the waveform into frames of 10, so that layers see [1, L / 10, 10]."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, noisy):
        return self.layer(noisy.reshape(1, -1, 10))


class Attention(nn.Module):
    def forward(self, frames):
        return nn.functional.scaled_dot_product_attention(
            frames, frames, frames
        )


def lstm_macs(inputs, hidden, gates=4):
    return gates * hidden * (inputs + hidden)


CASES = {
    "linear": (nn.Linear(10, 7), 100 * 10 * 7),
    "linear without bias": (nn.Linear(10, 7, bias=False), 100 * 10 * 7),
    # As channels, the 100 frames: 10 - 3 + 1 = 8 outputs.
    "conv": (nn.Conv1d(100, 6, 3), 8 * 6 * 100 * 3),
    "grouped conv": (nn.Conv1d(100, 6, 3, groups=2), 8 * 6 * 50 * 3),
    "depthwise conv": (nn.Conv1d(100, 100, 3, groups=100), 8 * 100 * 3),
    "strided dilated conv": (
        nn.Conv1d(100, 6, 3, stride=2, dilation=2),
        3 * 6 * 100 * 3,
    ),
    # Each of the 10 inputs adds to 3 outputs of each channel of its group.
    "transposed conv": (nn.ConvTranspose1d(100, 6, 3, 2), 10 * 100 * 6 * 3),
    "grouped transposed conv": (
        nn.ConvTranspose1d(100, 6, 3, groups=2),
        10 * 100 * 3 * 3,
    ),
    "lstm": (nn.LSTM(10, 5, batch_first=True), 100 * lstm_macs(10, 5)),
    "two-layer bidirectional lstm": (
        nn.LSTM(10, 5, 2, bidirectional=True, batch_first=True),
        100 * 2 * (lstm_macs(10, 5) + lstm_macs(2 * 5, 5)),
    ),
    "gru": (nn.GRU(10, 5, batch_first=True), 100 * lstm_macs(10, 5, gates=3)),
    "attention product": (Attention(), 2 * 100 * 100 * 10),
    "multi-head attention layer": (
        nn.TransformerEncoderLayer(10, 2, 20, batch_first=True),
        100 * (4 * 10 * 10 + 2 * 100 * 10 + 2 * 10 * 20),
    ),
    "no product": (nn.Sequential(nn.LayerNorm(10), nn.ReLU()), 0),
}


@pytest.mark.parametrize("layer, expected", CASES.values(), ids=CASES)
def test_macs_are_those_counted_by_hand(layer, expected):
    assert macs_per_second(Around(layer), RATE) == expected


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_macs_are_per_second_of_audio(seconds):
    model = Around(nn.LSTM(10, 5, batch_first=True))
    assert macs_per_second(model, RATE, seconds) == 100 * lstm_macs(10, 5)
    assert macs_per_second(model, 2 * RATE) == 200 * lstm_macs(10, 5)


def test_a_second_has_16000_samples_unless_told_otherwise():
    assert macs_per_second(Around(nn.Linear(10, 7))) == 1600 * 10 * 7


def test_the_model_hears_the_same_noise_in_each_call():
    heard = []

    class Listener(nn.Linear):
        def forward(self, noisy):
            heard.append(noisy.clone())
            return super().forward(noisy.reshape(1, -1, 10))

        def __deepcopy__(self, memo):
            return self

    for _ in range(2):
        macs_per_second(Listener(10, 7), RATE, seconds=2.0)
    fixed = torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(0))
    for noisy in heard:
        assert noisy.shape == (1, 2 * RATE)
        assert torch.equal(noisy, 0.1 * fixed)


def test_complex_convolution_with_assembled_weights_counts_as_executed():
    class ComplexConv(nn.Module):
        def __init__(self):
            super().__init__()
            self.real = nn.Parameter(torch.randn(6, 50, 3))
            self.imag = nn.Parameter(torch.randn(6, 50, 3))

        def forward(self, frames):
            upper = torch.cat([self.real, -self.imag], dim=1)
            lower = torch.cat([self.imag, self.real], dim=1)
            return nn.functional.conv1d(frames, torch.cat([upper, lower]))

    expected = 4 * (8 * 6 * 50 * 3)
    assert macs_per_second(Around(ComplexConv()), RATE) == expected


def test_the_model_and_global_state_are_left_alone():
    model = Around(
        nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(100), nn.Dropout())
    )
    model.layer[0].eval()
    model(torch.randn(1, 1000)).sum().backward()
    before = {name: v.clone() for name, v in model.state_dict().items()}
    gradient = model.layer[0].weight.grad.clone()
    modes = [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    flags = (
        torch.backends.mkldnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_grad_enabled(),
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        macs_per_second(model, RATE)

    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(model.layer[0].weight.grad, gradient)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    assert flags == (
        torch.backends.mkldnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_grad_enabled(),
    )


def test_a_failing_model_leaves_the_flags_as_they_were():
    enabled = torch.backends.mkldnn.enabled
    with pytest.raises(RuntimeError):
        macs_per_second(Around(nn.Linear(11, 4)), RATE)
    assert torch.backends.mkldnn.enabled == enabled
    assert torch.backends.mha.get_fastpath_enabled()


def test_models_that_look_at_their_values_can_be_counted():
    class Guarded(nn.Linear):
        def forward(self, frames):
            if not torch.isfinite(frames).all() or frames.std() == 0:
                raise ValueError("frames must be finite and not silent")
            return super().forward(frames)

    assert macs_per_second(Around(Guarded(10, 7)), RATE) == 7000


def test_parameters_count_frozen_ones_and_shared_ones_once():
    first, second = nn.Linear(10, 10), nn.Linear(10, 10, bias=False)
    second.weight = first.weight
    first.bias.requires_grad_(False)
    assert count_parameters(nn.Sequential(first, second)) == 110
