"""Conv-TasNet: a convolutional network on the waveform."""

import math
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor, nn

from speechbrain_dfkd.models.arguments import (
    check_choice,
    check_even,
    check_sizes,
)
from speechbrain_dfkd.models.channel_axes import ChannelAxes
from speechbrain_dfkd.models.conv_tasnet_channels import conv_tasnet_channels
from speechbrain_dfkd.models.enhanced import Enhanced, keep
from speechbrain_dfkd.models.mdct_start import INITIAL_FILTERS, start_from_mdct
from speechbrain_dfkd.models.temporal_block import TemporalBlock
from speechbrain_dfkd.models.temporal_norms import (
    CumulativeLayerNorm,
    GlobalLayerNorm,
)
from speechbrain_dfkd.models.waveform import check_waveform, pad_to_frames
from speechbrain_dfkd.precision import full_precision

NORMS = {"global": GlobalLayerNorm, "cumulative": CumulativeLayerNorm}
MASKS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


class ConvTasNet(nn.Module):
    """Convolutional time-domain audio separation network, for one source.

    Luo and Mesgarani, Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude
    Masking for Speech Separation, TASLP 2019, arXiv 1809.07454. With a linear
    encoder ``U`` and decoder ``V`` of half overlapping frames ``y`` of the
    noisy waveform:

        ``enhanced = overlap_add(V (U y * mask(U y)))``,

    where the mask comes from blocks of convolutions with dilations 1, 2, 4
    and so on, whose skip outputs are summed. The defaults are the published
    size, 5.0 M parameters, with windows of 2 ms at 16 kHz and one mask. The
    last block's residual output leads nowhere, as published; it is computed,
    since its weights are counted. The waveform is padded with zeros at its
    end to whole frames, at least one.

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
    blocks : int
        Blocks in a repeat; block ``x`` has dilation ``2 ** x`` (X).
    repeats : int
        Number of repeats (R).
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
        untrained network returns its input (``start_from_mdct``).

    Shape
    -----
    noisy : [B, L]
    output.wav : [B, L]
    output.features : [B, C, T], a frame every ``filter_length // 2`` samples

    Raises
    ------
    ValueError
        If an argument is out of its range, the input is not a waveform, or a
        feature has no such name.

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
        super().__init__()
        check_sizes({"n_filters": n_filters, "filter_length": filter_length})
        check_sizes({"bottleneck_channels": bottleneck_channels})
        check_sizes({"blocks": blocks, "repeats": repeats})
        check_even("filter_length", filter_length)
        _check_norm(norm, causal)
        check_choice("mask", mask, MASKS)
        check_choice("initial_filters", initial_filters, INITIAL_FILTERS)
        self.repeats = repeats
        self.settings = {
            "filter_length": filter_length,
            "kernel_size": kernel_size,
            "norm": norm,
            "mask": mask,
            "causal": causal,
        }
        self.filter_length, self.hop_length = filter_length, filter_length // 2
        self.bound_mask = MASKS[mask]
        self.encoder = nn.Conv1d(
            1, n_filters, filter_length, self.hop_length, bias=False
        )
        self.bottleneck = nn.Sequential(
            NORMS[norm](n_filters), nn.Conv1d(n_filters, bottleneck_channels, 1)
        )
        make_block = partial(
            TemporalBlock,
            bottleneck_channels,
            hidden_channels,
            skip_channels,
            kernel_size,
            norm=NORMS[norm],
            causal=causal,
        )
        self.blocks = nn.ModuleList(
            make_block(dilation=2**i) for i in [*range(blocks)] * repeats
        )
        self.mask = nn.Sequential(
            nn.PReLU(), nn.Conv1d(skip_channels, n_filters, 1)
        )
        self.decoder = nn.ConvTranspose1d(
            n_filters, 1, filter_length, self.hop_length, bias=False
        )
        if initial_filters == "mdct":
            self._start_from_mdct()

    def _start_from_mdct(self):
        nn.init.zeros_(self.mask[1].weight)
        nn.init.ones_(self.mask[1].bias)
        mask = float(self.bound_mask(torch.ones((), device="cpu")))
        start_from_mdct(self.encoder, self.decoder, mask, rectified=False)

    @property
    def look_ahead_samples(self) -> float:
        """How many later input samples an output sample can depend on.

        Those of its own window and, where the convolutions are not causal, of
        the frames that they reach; all of them with global layer norm.
        """
        if isinstance(self.bottleneck[0], GlobalLayerNorm):
            return math.inf
        frames = sum(block.look_ahead_frames for block in self.blocks)
        return self.filter_length - 1 + frames * self.hop_length

    @property
    def feature_names(self) -> list[str]:
        """What can be asked for, in the order of computation."""
        blocks = (f"block.{i}" for i in range(len(self.blocks)))
        return ["encoder", *blocks, "mask"]

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one."""
        return conv_tasnet_channels(self, self.settings, self.repeats)

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Multiply the output by a factor for good."""
        self.decoder.weight.mul_(factor)

    def negate(self) -> None:
        """Change the sign of the output for good."""
        self.scale_output(-1)

    def forward(
        self, noisy: Tensor, features: Collection[str] = ()
    ) -> Enhanced:
        """Enhance a batch of waveforms.

        Arguments
        ---------
        noisy : Tensor
            Noisy waveforms at 16 kHz.
        features : collection of str
            The names of the features to keep: "encoder", "block.0" and so on
            (the residual path after that block), "mask".

        Returns
        -------
        Enhanced
        """
        for name in features:
            check_choice("a feature's name", name, self.feature_names)
        check_waveform(noisy)
        sizes = self.filter_length, self.hop_length
        kept = {}
        # Half precision would add its rounding to the waveform itself.
        with full_precision(noisy.device):
            padded = pad_to_frames(noisy.float(), *sizes)
            encoded = self.encoder(padded[:, None])
        keep(encoded, "encoder", features, kept)
        mask = self._estimate_mask(encoded, features, kept)
        with full_precision(noisy.device):
            wav = self.decoder(encoded * mask)[:, 0, : noisy.shape[1]]
        return Enhanced(wav, kept)

    def _estimate_mask(self, encoded, features, kept):
        # Both sums in float32, which the products are added to.
        x = self.bottleneck(encoded).float()
        skips = x.new_zeros(())
        for i, block in enumerate(self.blocks):
            x, skips = block(x, skips)
            keep(x, f"block.{i}", features, kept)
        mask = self.bound_mask(self.mask(skips).float())
        return keep(mask, "mask", features, kept)


def _check_norm(norm: str, causal: bool):
    """Refuse a norm that sees the future in a causal network."""
    check_choice("norm", norm, NORMS)
    if causal and norm == "global":
        raise ValueError(
            "norm must be 'cumulative' in a causal network, got 'global', "
            "which looks at the whole utterance; set norm or causal"
        )
