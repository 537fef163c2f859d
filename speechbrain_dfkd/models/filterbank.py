"""What Conv-TasNet and DPTNet share: filters around a mask, and norms."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.models.base import (
    Enhanced,
    check_choice,
    check_even,
    check_features,
    check_sizes,
    check_waveform,
    keep,
    pad_to_frames,
)
from speechbrain_dfkd.models.channel_axes import WeightAxes, channels, conv_axes
from speechbrain_dfkd.stft import full_precision

MASKS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


class FilterbankNetwork(nn.Module):
    """A network that masks the output of learned filters.

    With a linear encoder ``U`` and decoder ``V`` of half overlapping frames
    ``y`` of the noisy waveform:

        ``enhanced = overlap_add(V (w * mask(w)))``,
        ``w = U y``, or ``relu(U y)`` where ``rectified``.

    A subclass makes its ``blocks`` and its other layers, then calls
    ``_add_decoder``: weights are drawn in the order of the computation. It
    defines ``_estimate_mask``, which keeps the features asked for, and
    ``_open_mask``, which makes the mask the same everywhere and returns it.
    """

    rectified = False

    def __init__(
        self, n_filters: int, filter_length: int, mask: str, settings: dict
    ):
        super().__init__()
        check_sizes(n_filters=n_filters, filter_length=filter_length)
        check_even("filter_length", filter_length)
        check_choice("mask", mask, MASKS)
        both = {"filter_length": filter_length, "mask": mask}
        self.settings = both | settings
        hop_length = filter_length // 2
        self.filter_length, self.hop_length = filter_length, hop_length
        self.bound_mask = MASKS[mask]
        sizes = (1, n_filters, filter_length, hop_length)
        self.encoder = nn.Conv1d(*sizes, bias=False)

    def _add_decoder(self, initial_filters: str) -> None:
        """Make the decoder, and with "mdct" begin by returning the input.

        From random filters, a small network first spends a good part of a
        short training on an encoder and a decoder that fit each other [ours].
        Behind a rectifier, the MDCT comes with both signs. Further filters stay
        random in the encoder and begin at zero in the decoder.
        """
        check_choice("initial_filters", initial_filters, ("random", "mdct"))
        n_filters = self.encoder.out_channels
        sizes = (n_filters, 1, self.filter_length, self.hop_length)
        self.decoder = nn.ConvTranspose1d(*sizes, bias=False)
        if initial_filters == "random":
            return
        basis = mdct_filters(self.hop_length)
        if self.rectified:
            basis = torch.cat((basis, -basis))
        constraint = f"at least {len(basis)} for an mdct of this filter_length"
        advice = "take shorter filters, or random ones"
        fits = len(basis) <= n_filters
        require("n_filters", fits, constraint, n_filters, advice)
        encoder, decoder = self.encoder.weight, self.decoder.weight
        with torch.no_grad():
            encoder[: len(basis), 0] = basis.to(encoder)
            decoder.zero_()
            decoder[: len(basis), 0] = basis.to(decoder) / self._open_mask()

    def _filter_axes(self) -> tuple[tuple, dict]:
        """Return the group of filters, and the layers for ``ChannelAxes``."""
        filters = channels("filters", self.encoder.out_channels)
        return filters, {
            "encoder": (self.encoder, conv_axes(filters, ())),
            # A transposed convolution to one waveform: it reads the filters.
            "decoder": (self.decoder, {"weight": WeightAxes((filters, ()), 1)}),
        }

    @property
    def feature_names(self) -> list[str]:
        """What can be asked for, in the order of computation."""
        blocks = (f"block.{i}" for i in range(len(self.blocks)))
        return ["encoder", *blocks, "mask"]

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
        """Enhance waveforms at 16 kHz, and keep the features asked for."""
        check_features(features, self.feature_names)
        check_waveform(noisy)
        kept = {}
        # Half precision would add its rounding to the waveform itself.
        with full_precision(noisy.device):
            frame, hop = self.filter_length, self.hop_length
            padded = pad_to_frames(noisy.float(), frame, hop)
            encoded = self.encoder(padded[:, None])
            encoded = encoded.relu() if self.rectified else encoded
        keep(encoded, "encoder", features, kept)
        mask = self._estimate_mask(encoded, features, kept)
        keep(mask, "mask", features, kept)
        with full_precision(noisy.device):
            wav = self.decoder(encoded * mask)[:, 0, : noisy.shape[1]]
        return Enhanced(wav, kept)


def mdct_filters(hop_length: int) -> Tensor:
    """Return the filters of a modified discrete cosine transform.

    ::

        h_k[n] = sqrt(2 / M) sin(pi / 2M (n + 1/2))
                 cos(pi / M (n + 1/2 + M / 2) (k + 1/2))

    Princen, Johnson and Bradley, Subband/Transform Coding Using Filter Bank
    Designs Based on Time Domain Aliasing Cancellation, ICASSP 1987. With a
    step of M samples, as many filters as samples in a step lose nothing:
    they are orthonormal, also to those of the neighbouring frames.

    Shape
    -----
    output : [M, 2 M]
    """
    n = torch.arange(2 * hop_length, dtype=torch.float64) + 0.5
    k = torch.arange(hop_length, dtype=torch.float64)[:, None] + 0.5
    phases = math.pi / hop_length * (n + hop_length / 2) * k
    window = (math.pi / (2 * hop_length) * n).sin()
    return ((2 / hop_length) ** 0.5 * window * phases.cos()).float()


EPSILON = 1e-8


class GlobalLayerNorm(nn.GroupNorm):
    """Normalise by the mean and variance of all channels and frames.

    Global layer norm (gLN) of Luo and Mesgarani 2019, arXiv 1809.07454. It
    looks at the whole utterance. Computed in float32 under autocast too.

    Shape
    -----
    x, output : [B, channels, T]
    """

    def __init__(self, channels: int):
        # One group is all channels: PyTorch has this norm as one kernel.
        super().__init__(1, channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        return F.group_norm(x.float(), 1, self.weight, self.bias, self.eps)


class CumulativeLayerNorm(nn.Module):
    """Normalise by the mean and variance of all frames up to each one.

    Cumulative layer norm (cLN) of Luo and Mesgarani 2019, arXiv 1809.07454:
    frame ``k`` is normalised over the channels and over frames 0 to ``k``, so
    that it depends on no later one. Asteroid calls it cgLN, and another norm
    cLN. Computed in float32 under autocast too.

    Shape
    -----
    x, output : [B, channels, T]
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        x = x.float()
        frames = torch.arange(1, x.shape[2] + 1, device=x.device)
        mean = x.mean(1, keepdim=True).cumsum(2) / frames
        power = x.square().mean(1, keepdim=True).cumsum(2) / frames
        # Rounding can push the variance of a constant below zero.
        variance = (power - mean.square()).clamp_min(0)
        normed = (x - mean) * (variance + EPSILON).rsqrt()
        return torch.addcmul(self.bias[:, None], normed, self.weight[:, None])
