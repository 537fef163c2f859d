"""Conv-TasNet: a convolutional network on the waveform."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.models.base import check_choice, check_sizes, keep
from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    channels,
    conv_axes,
    norm_axes,
    within,
)
from speechbrain_dfkd.models.filterbank import (
    CumulativeLayerNorm,
    FilterbankNetwork,
    GlobalLayerNorm,
)


class TemporalBlock(nn.Module):
    """One block of the temporal convolutional network of Conv-TasNet.

    Luo and Mesgarani 2019, arXiv 1809.07454, figure 1 (C); its convolutions to
    the residual and to the skip output are one layer here.

    Shape
    -----
    x, skips : [B, channels, T] and [B, skip_channels, T]; so is the output
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        skip_channels: int,
        kernel_size: int,
        dilation: int,
        norm: Callable[[int], nn.Module],
        causal: bool = False,
    ):
        super().__init__()
        odd = kernel_size % 2 == 1
        require("kernel_size", odd, "odd", kernel_size, "3 is published")
        reach = (kernel_size - 1) * dilation
        self.paths = (channels, skip_channels)
        self.expand = nn.Sequential(
            nn.Conv1d(channels, hidden_channels, 1),
            nn.PReLU(),
            norm(hidden_channels),
        )
        hidden, padding = hidden_channels, reach if causal else reach // 2
        settings = {"padding": padding, "dilation": dilation, "groups": hidden}
        self.depthwise = nn.Conv1d(hidden, hidden, kernel_size, **settings)
        self.activation = nn.PReLU()
        self.norm = norm(hidden_channels)
        self.project = nn.Conv1d(hidden_channels, sum(self.paths), 1)

    def forward(self, x: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual path and the sum of the skip paths so far."""
        # One name for all, so that no more than two are held at a time.
        hidden = self.expand(x)
        # Padded on both sides when causal: the frames at the end are too many.
        hidden = self.depthwise(hidden)[..., : x.shape[2]]
        hidden = self.activation(hidden)
        hidden = self.norm(hidden)
        residual, skip = self.project(hidden).split(self.paths, 1)
        return x + residual, skips + skip


NORMS = {"global": GlobalLayerNorm, "cumulative": CumulativeLayerNorm}


class ConvTasNet(FilterbankNetwork):
    """Convolutional time-domain audio separation network, for one source.

    Luo and Mesgarani, Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude
    Masking for Speech Separation, TASLP 2019, arXiv 1809.07454. The mask of
    ``FilterbankNetwork``'s equation comes from blocks of convolutions with
    dilations 1, 2, 4 and so on, whose skip outputs are summed. The defaults are
    the published size, 5.0 M parameters, with windows of 2 ms at 16 kHz and one
    mask. The last block's residual output leads nowhere, as published; it is
    computed, since its weights are counted.

    Arguments
    ---------
    n_filters : int
        Filters of the encoder and of the decoder (N in the paper).
    filter_length : int
        Their length in samples, even (L); half of it is the step.
    bottleneck_channels, hidden_channels, skip_channels : int
        Channels between the blocks, inside them, and of the skip path (B, H
        and Sc).
    kernel_size : int
        Length of the depthwise kernels in frames, odd (P).
    blocks, repeats : int
        Blocks in a repeat (X), of dilation ``2 ** x``, and repeats (R).
    norm : str
        "global" layer norm, over the whole utterance, or "cumulative", over
        the frames so far.
    mask : str
        What bounds the mask: "sigmoid" or "relu".
    causal : bool
        Whether the convolutions look only at earlier frames; only with
        ``norm`` "cumulative".
    initial_filters : str
        How the filters begin: "random", as published, or "mdct", so that the
        untrained network returns its input.

    Shape
    -----
    noisy : [B, L]
    output.wav : [B, L]
    output.features : "encoder", "block.0" and so on (the residual path after
        that block) and "mask": [B, C, T], a frame every
        ``filter_length // 2`` samples

    Example
    -------
    >>> model = ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1)
    >>> enhanced = model(torch.randn(2, 1601), features=["block.1"])
    >>> enhanced.wav.shape
    torch.Size([2, 1601])
    >>> enhanced.features["block.1"].shape  # 1 + ceil((1601 - 32) / 16)
    torch.Size([2, 4, 100])
    """

    def __init__(
        self,
        n_filters: int = 512,
        filter_length: int = 32,
        bottleneck_channels: int = 128,
        hidden_channels: int = 512,
        skip_channels: int = 128,
        kernel_size: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: str = "global",
        mask: str = "sigmoid",
        causal: bool = False,
        initial_filters: str = "random",
    ):
        settings = {"kernel_size": kernel_size, "norm": norm, "causal": causal}
        super().__init__(n_filters, filter_length, mask, settings)
        check_sizes(bottleneck_channels=bottleneck_channels, blocks=blocks)
        check_sizes(hidden_channels=hidden_channels, repeats=repeats)
        check_sizes(skip_channels=skip_channels, kernel_size=kernel_size)
        check_choice("norm", norm, NORMS)
        fits = norm == "cumulative" or not causal
        constraint = "cumulative in a causal network"
        require("norm", fits, constraint, norm, "change norm or causal")
        self.repeats = repeats
        self.bottleneck = nn.Sequential(
            NORMS[norm](n_filters), nn.Conv1d(n_filters, bottleneck_channels, 1)
        )
        widths = (bottleneck_channels, hidden_channels, skip_channels)
        self.blocks = nn.ModuleList(
            TemporalBlock(*widths, kernel_size, 2**i, NORMS[norm], causal)
            for i in [*range(blocks)] * repeats
        )
        self.mask = nn.Sequential(
            nn.PReLU(), nn.Conv1d(skip_channels, n_filters, 1)
        )
        self._add_decoder(initial_filters)

    def _open_mask(self) -> float:
        nn.init.zeros_(self.mask[1].weight)
        nn.init.ones_(self.mask[1].bias)
        return float(self.bound_mask(torch.ones((), device="cpu")))

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one.

        The mask multiplies the encoded filters, and the blocks add up to one
        residual path and one skip path: each of these is one group. A network
        of fewer blocks or repeats has the first ones, of the same dilations.
        """
        filters, layers = self._filter_axes()
        residual = channels("bottleneck", self.bottleneck[1].out_channels)
        skip = channels("skip", self.mask[1].in_channels)
        layers |= {
            "bottleneck.norm": (self.bottleneck[0], norm_axes(filters)),
            "bottleneck": (self.bottleneck[1], conv_axes(residual, filters)),
            "mask.activation": (self.mask[0], {}),
            "mask": (self.mask[1], conv_axes(filters, skip)),
        }
        blocks = len(self.blocks) // self.repeats
        for i, block in enumerate(self.blocks):
            role = f"repeat.{i // blocks}.block.{i % blocks}"
            layers[role] = block, _block_axes(block, role, residual, skip)
        return ChannelAxes(self.settings, layers)

    def _estimate_mask(self, encoded: Tensor, features: Collection, kept: dict):
        # Both sums in float32, which the products are added to.
        x = self.bottleneck(encoded).float()
        skips = x.new_zeros(())
        for i, block in enumerate(self.blocks):
            x, skips = block(x, skips)
            keep(x, f"block.{i}", features, kept)
        return self.bound_mask(self.mask(skips).float())


def _block_axes(block: TemporalBlock, role: str, residual: tuple, skip: tuple):
    hidden = channels(f"{role}.hidden", block.depthwise.out_channels)
    return {
        **within("expand.0", conv_axes(hidden, residual)),
        **within("expand.2", norm_axes(hidden)),
        **within("depthwise", conv_axes(hidden, ())),
        **within("norm", norm_axes(hidden)),
        **within("project", conv_axes(residual + skip, hidden)),
    }
