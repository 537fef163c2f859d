"""Complex layers: convolution, recurrence, normalisation."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.models.channel_axes import (
    WeightAxes,
    channels,
    conv_axes,
    lstm_axes,
)


def uniform_weight(*shape: int) -> nn.Parameter:
    """Return a weight as ``nn.Linear`` and ``nn.Conv2d`` initialise theirs."""
    weight = nn.Parameter(torch.empty(shape))
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    return weight


def uniform_bias(size: int, fan_in: int) -> nn.Parameter:
    """Return a bias, uniform in ``+- 1 / sqrt(fan_in)``."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(size).uniform_(-bound, bound))


# From this many weights a tap on, three products of a quarter of the size
# beat a single one: measured on a CPU, forward and backward, on 4 x 2 s.
MIN_WEIGHTS_FOR_THREE_PRODUCTS = 1024


class ComplexConv2d(nn.Module):
    """Complex convolution, or its transpose, over frequency and time.

    ``(Wr + i Wi) * (a + i b)``, of Trabelsi et al., Deep Complex Networks
    (2018), section 3.2. Wide layers use Gauss's three real products,
    ``p = Wr (a + b)``, ``q = (Wi - Wr) a``, ``r = (Wr + Wi) b``, with
    ``p - r`` the real and ``p + q`` the imaginary part; narrow ones a single
    real convolution with the weights ``[[Wr, -Wi], [Wi, Wr]]``.

    The channels are complex ones; the kernel is odd over frequency, with a
    stride of 2. With ``time_padding`` "left" as many frames come out as in:
    each sees itself and those before it, or, when transposed, those after it.
    With "none" there are ``kernel_size[1] - 1`` fewer, or more.

    Shape
    -----
    stacked : any number of [B, 2C, F, T], their C adding up to in_channels
    output : [B, 2 * out_channels, F / 2 or 2F, T']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        time_padding: str = "left",
        transposed: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        # A transposed convolution of PyTorch stores its weights as [in, out].
        shape = (in_channels, out_channels)
        rows, columns = shape if transposed else shape[::-1]
        self.weight_real = uniform_weight(rows, columns, *kernel_size)
        self.weight_imag = uniform_weight(rows, columns, *kernel_size)
        fan_in = columns * math.prod(kernel_size)
        self.bias = uniform_bias(2 * out_channels, fan_in) if bias else None
        self.three = rows * columns >= MIN_WEIGHTS_FOR_THREE_PRODUCTS
        self.transposed = transposed
        self.freq_pad = kernel_size[0] // 2
        # Frames of zeros before the input, or after it if transposed.
        self.late = kernel_size[1] - 1 if time_padding == "left" else 0

    def forward(self, *stacked: Tensor) -> Tensor:
        """Convolve the inputs, joined along their complex channels."""
        real, imag = zip(*(x.chunk(2, 1) for x in stacked), strict=True)
        if self.three:
            out = self._three_products(self._join(real), self._join(imag))
        else:
            parts = stacked if len(stacked) == 1 else real + imag
            out = self._one_product(self._join(parts))
        return out if self.bias is None else out + self.bias[:, None, None]

    def _one_product(self, joined: Tensor) -> Tensor:
        real, imag = self.weight_real, self.weight_imag
        upper = imag if self.transposed else -imag
        rows = torch.cat((real, upper), 1), torch.cat((-upper, real), 1)
        return self._convolve(joined, torch.cat(rows))

    def _three_products(self, real: Tensor, imag: Tensor) -> Tensor:
        # Made first, so that gradients add up in the order of p, q and r.
        weight_sum = self.weight_real + self.weight_imag
        weight_difference = self.weight_imag - self.weight_real
        p = self._convolve(real + imag, self.weight_real)
        q = self._convolve(real, weight_difference)
        r = self._convolve(imag, weight_sum)
        return torch.cat((p - r, p + q), 1)

    def _join(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Join along channels, and pad in time."""
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        padding = (0, self.late) if self.transposed else (self.late, 0)
        joined = F.pad(joined, padding) if self.late else joined
        # Channels last spares the convolutions a copy of each input.
        return joined.contiguous(memory_format=torch.channels_last)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.transposed:
            return F.conv2d(x, weight, None, (2, 1), (self.freq_pad, 0))
        # A transposed convolution crops what another one would pad.
        padding = (self.freq_pad, self.late)
        return F.conv_transpose2d(x, weight, None, (2, 1), padding, (1, 0))


class ComplexRecurrence(nn.Module):
    """Complex LSTM layers and a complex projection back (DCCRN-CL).

    A frame has ``n_features`` complex features, channels times bins.

    Shape
    -----
    x, output : [B, 2C, F, T]
    """

    def __init__(self, n_features: int, units: int, layers: int):
        super().__init__()
        self.lstm = ComplexLSTM(n_features, units, layers)
        self.projection = ComplexLinear(units, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Run over time with the features of a frame flattened."""
        batch, n_channels, bins, frames = x.shape
        parts = x.unflatten(1, (2, -1)).permute(1, 0, 4, 2, 3)
        out = self.lstm(parts.reshape(2 * batch, frames, -1))
        out = self.projection(torch.cat(out.chunk(2), -1))
        return out.unflatten(2, (n_channels, bins)).permute(0, 2, 3, 1)

    def channel_layers(self, inputs: tuple) -> tuple[tuple, dict]:
        """Return the channels put out, and the layers for ``ChannelAxes``."""
        layers = {}
        for part in ("real", "imag"):
            x = inputs
            for i, lstm in enumerate(getattr(self.lstm, part)):
                units = channels(f"lstm.{i}", lstm.hidden_size)
                layers[f"lstm.{part}.{i}"] = lstm, lstm_axes(units, x)
                x = units
        outputs = channels("rnn", sum(group.size for group in inputs))
        weight, bias = WeightAxes((outputs, x)), WeightAxes((outputs * 2,))
        axes = {"weight_real": weight, "weight_imag": weight, "bias": bias}
        layers["projection"] = self.projection, axes
        return outputs, layers


class RealRecurrence(nn.Module):
    """One real LSTM over both parts and a projection back (DCCRN-E)."""

    def __init__(self, n_features: int, units: int, layers: int):
        super().__init__()
        self.lstm = nn.LSTM(2 * n_features, 2 * units, layers, batch_first=True)
        self.projection = nn.Linear(2 * units, 2 * n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Run over time with the features of a frame flattened."""
        out = self.lstm(x.permute(0, 3, 1, 2).flatten(2))[0]
        out = self.projection(out).unflatten(2, x.shape[1:3])
        return out.permute(0, 2, 3, 1)

    def channel_layers(self, inputs: tuple) -> tuple[tuple, dict]:
        """Return channels and layers as ``ComplexRecurrence`` does."""
        x, of_lstm = inputs * 2, {}
        for i in range(self.lstm.num_layers):
            units = channels(f"lstm.{i}", self.lstm.hidden_size)
            of_lstm |= lstm_axes(units, x, f"l{i}")
            x = units
        outputs = channels("rnn", sum(group.size for group in inputs))
        return outputs, {
            "lstm": (self.lstm, of_lstm),
            "projection": (self.projection, conv_axes(outputs * 2, x)),
        }


class ComplexLinear(nn.Module):
    """Complex affine map as one real matrix product.

    Shape
    -----
    x : [..., 2 * in_features], real parts first
    output : [..., 2 * out_features]
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight_real = uniform_weight(out_features, in_features)
        self.weight_imag = uniform_weight(out_features, in_features)
        self.bias = uniform_bias(2 * out_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by ``[[Wr, -Wi], [Wi, Wr]]`` and add the bias."""
        real, imag = self.weight_real, self.weight_imag
        rows = torch.cat((real, -imag), 1), torch.cat((imag, real), 1)
        return F.linear(x, torch.cat(rows), self.bias)


class ComplexLSTM(nn.Module):
    """Complex LSTM layers, as in DCCRN (Hu et al., 2020).

    Each layer holds a real LSTM for either part of its weights, ``Lr`` and
    ``Li``: ``(Lr(a) - Li(b)) + i (Lr(b) + Li(a))``. Both parts of the input
    share one call, as a batch of 2B.

    Shape
    -----
    x : [2B, T, input_size], the real parts in the first half of the batch
    output : [2B, T, hidden_size]
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.real, self.imag = (
            nn.ModuleList(
                nn.LSTM(size, hidden_size, batch_first=True) for size in sizes
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers over time."""
        for real, imag in zip(self.real, self.imag, strict=True):
            (rr, ri), (ir, ii) = real(x)[0].chunk(2), imag(x)[0].chunk(2)
            x = torch.cat((rr - ii, ri + ir))
        return x


class ComplexPReLU(nn.Module):
    """PReLU with one slope for real parts and one for imaginary parts."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the slopes to the negative values."""
        slopes = self.weight.repeat_interleave(x.shape[1] // 2)
        return F.prelu(x, slopes.to(x.dtype))


class ComplexBlock(nn.Module):
    """Complex convolution of some ``settings``, batch norm and PReLU."""

    def __init__(self, in_channels: int, out_channels: int, *settings: Any):
        super().__init__()
        # Without a bias, which the normalisation would cancel.
        self.conv = ComplexConv2d(in_channels, out_channels, *settings)
        self.norm = nn.BatchNorm2d(2 * out_channels)
        self.activation = ComplexPReLU()

    def forward(self, *stacked: Tensor) -> Tensor:
        """Apply the three to inputs that are joined along channels."""
        return self.activation(self.norm(self.conv(*stacked)))
