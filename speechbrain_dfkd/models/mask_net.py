"""The network of DCCRN between its spectrum and its mask."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from speechbrain_dfkd.models.arguments import check_choice, check_sizes
from speechbrain_dfkd.models.complex_convolution import ComplexConv2d
from speechbrain_dfkd.models.complex_layers import ComplexBlock
from speechbrain_dfkd.models.recurrence import ComplexRecurrence, RealRecurrence

RNNS = {"complex": ComplexRecurrence, "real": RealRecurrence}


class MaskNet(nn.Module):
    """The network of DCCRN, from a spectrum to an unbounded complex mask.

    Arguments
    ---------
    n_bins : int
        Frequency bins, a multiple of 2 to the number of layers.
    channels, lstm_units, lstm_layers, kernel_size, rnn, time_padding
        As in ``DCCRN``.

    Shape
    -----
    stacked : [B, 2, n_bins, T], real part first
    output : [B, 2, n_bins, T]

    Example
    -------
    >>> net = MaskNet(8, (2, 4), lstm_units=3)
    >>> mask, features = net(torch.randn(1, 2, 8, 5), ["rnn"])
    >>> mask.shape, features["rnn"].shape
    (torch.Size([1, 2, 8, 5]), torch.Size([1, 8, 2, 5]))
    """

    def __init__(
        self,
        n_bins: int,
        channels: Sequence[int],
        lstm_units: int = 128,
        lstm_layers: int = 2,
        kernel_size: tuple[int, int] = (5, 2),
        rnn: str = "complex",
        time_padding: str = "left",
    ):
        super().__init__()
        check_choice("rnn", rnn, RNNS)
        check_choice("time_padding", time_padding, ("left", "none"))
        _check_sizes(n_bins, channels, lstm_units, lstm_layers, kernel_size)
        self.look_ahead_frames = len(channels) * (kernel_size[1] - 1)
        shrinks = time_padding == "none"
        self.min_frames = 1 + self.look_ahead_frames * shrinks
        widths = [1, *channels]
        self.encoder = nn.ModuleList(
            ComplexBlock(n_in, n_out, kernel_size, time_padding)
            for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
        )
        n_features = widths[-1] * (n_bins >> len(channels))
        self.rnn = RNNS[rnn](n_features, lstm_units, lstm_layers)
        self.decoder = nn.ModuleList(
            ComplexBlock(2 * n_in, n_out, kernel_size, time_padding, True)
            for n_in, n_out in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        self.decoder.append(
            ComplexConv2d(
                2 * widths[1], 1, kernel_size, time_padding, True, bias=True
            )
        )

    @property
    def feature_names(self) -> list[str]:
        """What can be asked for, in the order of computation."""
        layers = range(len(self.encoder))
        return [
            *(f"encoder.{i}" for i in layers),
            "rnn",
            *(f"decoder.{i}" for i in layers),
        ]

    def forward(
        self, stacked: Tensor, features: Collection[str] = ()
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mask and the features asked for."""
        for name in features:
            check_choice("a feature's name", name, self.feature_names)
        kept = {name: None for name in self.feature_names if name in features}
        # Channels last spares the convolutions a copy of each input.
        x = stacked.contiguous(memory_format=torch.channels_last)
        skips = []
        for i, layer in enumerate(self.encoder):
            x = _keep(layer(x), f"encoder.{i}", kept)
            skips.append(x)
        x = _keep(self.rnn(x), "rnn", kept)
        for i, layer in enumerate(self.decoder):
            x = _keep(layer(x, skips.pop()), f"decoder.{i}", kept)
        return x, kept


def _keep(x: Tensor, name: str, kept: dict) -> Tensor:
    """Pass ``x`` on, and hold it only if its name was asked for."""
    if name in kept:
        kept[name] = x
    return x


def _check_sizes(n_bins, channels, lstm_units, lstm_layers, kernel_size):
    """Refuse sizes with which the layers do not fit together."""
    sizes = {"lstm_units": lstm_units, "lstm_layers": lstm_layers}
    sizes |= {f"channels[{i}]": n for i, n in enumerate(channels)}
    sizes["kernel_size[1]"] = kernel_size[1]
    check_sizes(sizes)
    if kernel_size[0] % 2 == 0:
        raise ValueError(
            f"kernel_size[0] must be odd, got {kernel_size[0]}; "
            "the published kernel is (5, 2)"
        )
    if not channels or n_bins % 2 ** len(channels):
        raise ValueError(
            "channels must have between 1 and as many entries as n_fft // 2 "
            f"can be halved, got {len(channels)} for {n_bins} bins; take "
            "fewer layers, or a power of two for n_fft"
        )
