"""The recurrent layers of DCCRN, complex and real.

A complex activation is one real tensor in which the real parts come first:
stacked channels ``[B, 2C, F, T]`` outside, a stacked batch ``[2B, T, H]``
inside. No complex tensor appears, so that half precision works.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.models.channel_axes import (
    WeightAxes,
    channels,
    conv_axes,
    lstm_axes,
)
from speechbrain_dfkd.models.initialisation import uniform_bias, uniform_weight


class ComplexRecurrence(nn.Module):
    """Complex LSTM layers and a complex projection back (DCCRN-CL).

    Arguments
    ---------
    n_features : int
        Complex features a frame, channels times bins.
    units, layers : int
        Complex units, and number of layers.

    Shape
    -----
    x : [B, 2C, F, T]
    output : [B, 2C, F, T]
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
        """Return the channels put out, and the layers for ``ChannelAxes``.

        Arguments
        ---------
        inputs : tuple of Channels
            The complex channels that come in.
        """
        layers = {}
        for part in ("real", "imag"):
            x = inputs
            for i, lstm in enumerate(getattr(self.lstm, part)):
                units = channels(f"lstm.{i}", lstm.hidden_size)
                layers[f"lstm.{part}.{i}"] = lstm, lstm_axes(units, x)
                x = units
        outputs = channels("rnn", sum(group.size for group in inputs))
        weight = WeightAxes((outputs, x))
        layers["projection"] = (
            self.projection,
            {
                "weight_real": weight,
                "weight_imag": weight,
                "bias": WeightAxes((outputs * 2,)),
            },
        )
        return outputs, layers


class RealRecurrence(nn.Module):
    """One real LSTM over both parts and a projection back (DCCRN-E).

    Arguments and shapes are those of ``ComplexRecurrence``; the LSTM has
    ``2 * units`` real units.
    """

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

    Arguments
    ---------
    in_features, out_features : int
        Complex features.

    Shape
    -----
    x : [..., 2 * in_features], real parts first
    output : [..., 2 * out_features]

    Example
    -------
    >>> linear = ComplexLinear(3, 5)
    >>> linear(torch.zeros(2, 6)).shape
    torch.Size([2, 10])
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight_real = uniform_weight(out_features, in_features)
        self.weight_imag = uniform_weight(out_features, in_features)
        self.bias = uniform_bias(2 * out_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by ``[[Wr, -Wi], [Wi, Wr]]`` and add the bias."""
        real, imag = self.weight_real, self.weight_imag
        weight = torch.cat(
            (torch.cat((real, -imag), 1), torch.cat((imag, real), 1))
        )
        return F.linear(x, weight, self.bias)


class ComplexLSTM(nn.Module):
    """Complex LSTM layers, as in DCCRN (Hu et al., 2020).

    Each layer holds a real LSTM for either part of its weights, ``Lr`` and
    ``Li``: ``(Lr(a) - Li(b)) + i (Lr(b) + Li(a))``. Both parts of the input
    share one call, as a batch of 2B.

    Arguments
    ---------
    input_size : int
        Complex features.
    hidden_size : int
        Complex units.
    num_layers : int
        Number of layers.

    Shape
    -----
    x : [2B, T, input_size], the real parts in the first half of the batch
    output : [2B, T, hidden_size]

    Example
    -------
    >>> ComplexLSTM(6, 3, 2)(torch.zeros(2, 10, 6)).shape
    torch.Size([2, 10, 3])
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.real = _lstms(sizes, hidden_size)
        self.imag = _lstms(sizes, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers over time."""
        for real, imag in zip(self.real, self.imag, strict=True):
            (rr, ri), (ir, ii) = real(x)[0].chunk(2), imag(x)[0].chunk(2)
            x = torch.cat((rr - ii, ri + ir))
        return x


def _lstms(sizes: Sequence[int], hidden_size: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.LSTM(size, hidden_size, batch_first=True) for size in sizes
    )
