"""The real arithmetic of complex layers against PyTorch's complex numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from speechbrain_dfkd.models.complex_layers import (
    MIN_WEIGHTS_FOR_THREE_PRODUCTS,
    ComplexConv2d,
    ComplexLinear,
    ComplexLSTM,
    ComplexPReLU,
)

NARROW, WIDE = (4, 3), (32, 34)


def as_complex(stacked, dim=1):
    return torch.complex(*stacked.chunk(2, dim))


def reference(conv, x, left):
    """The same layer on complex tensors, padded or cropped in time."""
    weight = torch.complex(conv.weight_real, conv.weight_imag)
    if conv.transposed:
        out = F.conv_transpose2d(x, weight, None, (2, 1), (2, 0), (1, 0))
        return out[..., 1:] if left else out
    x = F.pad(x, (1, 0)) if left else x
    return F.conv2d(x, weight, None, (2, 1), (2, 0))


@pytest.mark.parametrize("channels", [NARROW, WIDE])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("time_padding", ["left", "none"])
def test_convolution_is_the_complex_one(channels, transposed, time_padding):
    conv = ComplexConv2d(*channels, (5, 2), time_padding, transposed).double()
    half = channels[0] // 2
    inputs = [
        torch.randn(2, channels[0], 6, 5).double().requires_grad_()
        for _ in range(2)
    ]
    out = conv(*inputs)
    joined = torch.cat([as_complex(x) for x in inputs], 1)
    assert joined.shape[1] == 2 * half
    expected = reference(conv, joined, time_padding == "left")
    torch.testing.assert_close(as_complex(out), expected)

    direction = torch.randn_like(out)
    leaves = [*inputs, conv.weight_real, conv.weight_imag]
    wanted = as_complex(direction).conj()
    torch.testing.assert_close(
        torch.autograd.grad((out * direction).sum(), leaves),
        torch.autograd.grad((expected * wanted).real.sum(), leaves),
    )


def test_product_of_two_numbers():
    conv = ComplexConv2d(1, 1, (1, 1))
    conv.weight_real.data.fill_(1)
    conv.weight_imag.data.fill_(2)
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    # (1 + 2i) (3 + 4i) = -5 + 10i
    assert conv(x).flatten().tolist() == [-5, 10]


def test_slopes_are_of_negative_values():
    x = torch.tensor([4.0, -4.0]).view(1, 2, 1, 1)
    assert ComplexPReLU()(x).flatten().tolist() == [4, -1]


def test_both_ways_to_multiply_are_tested():
    weights = [a * b for a, b in (NARROW, WIDE)]
    assert weights[0] < MIN_WEIGHTS_FOR_THREE_PRODUCTS <= weights[1]


def test_linear_is_the_complex_one():
    linear, x = ComplexLinear(3, 5), torch.randn(4, 6)
    weight = torch.complex(linear.weight_real, linear.weight_imag)
    expected = as_complex(x) @ weight.T + as_complex(linear.bias, 0)
    torch.testing.assert_close(as_complex(linear(x)), expected)


def test_lstm_follows_the_equation_of_the_paper():
    lstm = ComplexLSTM(3, 2, 1)
    a, b = torch.randn(2, 4, 7, 3)
    with torch.no_grad():
        out = lstm(torch.cat((a, b)))
        of_real, of_imag = (
            lambda x, net=net: net[0](x)[0] for net in (lstm.real, lstm.imag)
        )
        expected = torch.cat((of_real(a) - of_imag(b), of_real(b) + of_imag(a)))
    torch.testing.assert_close(out, expected)


def test_initial_weights_are_spread_as_those_of_pytorch():
    torch.manual_seed(0)
    for ours, theirs in (
        (ComplexConv2d(32, 64, (5, 2)), nn.Conv2d(32, 64, (5, 2))),
        (
            ComplexConv2d(64, 32, (5, 2), transposed=True, bias=True),
            nn.ConvTranspose2d(64, 32, (5, 2)),
        ),
        (ComplexLinear(128, 64), nn.Linear(128, 64)),
    ):
        spread = theirs.weight.std().item()
        for weight in (ours.weight_real, ours.weight_imag):
            assert weight.shape == theirs.weight.shape
            assert weight.std().item() == pytest.approx(spread, rel=0.05)
        if ours.bias is not None:
            assert ours.bias.abs().max() <= theirs.weight.abs().max() * 1.01
