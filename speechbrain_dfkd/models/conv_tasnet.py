"""Conv-TasNet: a convolutional network on the waveform."""

import math
from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import Tensor, nn

from speechbrain_dfkd.models.base import (
    Enhanced,
    check_choice,
    check_even,
    check_sizes,
    check_waveform,
    keep,
    pad_to_frames,
)
from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    WeightAxes,
    channels,
    conv_axes,
    norm_axes,
    within,
)
from speechbrain_dfkd.models.filterbank import (
    INITIAL_FILTERS,
    CumulativeLayerNorm,
    GlobalLayerNorm,
    start_from_mdct,
)
from speechbrain_dfkd.stft import full_precision


def conv_tasnet_channels(
    model: nn.Module, settings: dict, repeats: int
) -> ChannelAxes:
    """Return the channels of a Conv-TasNet.

    The mask multiplies the encoded filters, and the blocks add up to one
    residual path and one skip path, so that each of these is one group. The
    hidden channels are a block's own. A block's role is its place in its
    repeat: a network of fewer blocks or repeats has the first ones, with the
    same dilations.

    Arguments
    ---------
    model : ConvTasNet
        The network.
    settings : dict
        Its arguments that are no numbers of channels or blocks.
    repeats : int
        Number of repeats.
    """
    filters = channels("filters", model.encoder.out_channels)
    residual = channels("bottleneck", model.bottleneck[1].out_channels)
    skip = channels("skip", model.mask[1].in_channels)
    layers = {
        "encoder": (model.encoder, conv_axes(filters, ())),
        "bottleneck.norm": (model.bottleneck[0], norm_axes(filters)),
        "bottleneck": (model.bottleneck[1], conv_axes(residual, filters)),
        "mask.activation": (model.mask[0], {}),
        "mask": (model.mask[1], conv_axes(filters, skip)),
        # A transposed convolution to one waveform: it reads the filters.
        "decoder": (model.decoder, {"weight": WeightAxes((filters, ()), 1)}),
    }
    blocks = len(model.blocks) // repeats
    for i, block in enumerate(model.blocks):
        role = f"repeat.{i // blocks}.block.{i % blocks}"
        layers[role] = block, _block_axes(block, role, residual, skip)
    return ChannelAxes(settings, layers)


def _block_axes(block, role, residual, skip):
    hidden = channels(f"{role}.hidden", block.depthwise.out_channels)
    return {
        **within("expand.0", conv_axes(hidden, residual)),
        **within("expand.2", norm_axes(hidden)),
        **within("depthwise", conv_axes(hidden, ())),
        **within("norm", norm_axes(hidden)),
        **within("project", conv_axes(residual + skip, hidden)),
    }


class TemporalBlock(nn.Module):
    """One block of the temporal convolutional network of Conv-TasNet.

    Luo and Mesgarani 2019, arXiv 1809.07454, figure 1 (C): a pointwise
    convolution to more channels, a dilated depthwise one, each followed by
    PReLU and a norm, then pointwise convolutions to a residual and to a skip
    output. The last two are one layer here, being one product of matrices.

    Arguments
    ---------
    channels : int
        Channels of the residual path.
    hidden_channels : int
        Channels of the depthwise convolution.
    skip_channels : int
        Channels of the skip path.
    kernel_size : int
        Length of the depthwise kernel in frames, odd.
    dilation : int
        Frames between two of its taps.
    norm : callable
        Makes a norm for a number of channels.
    causal : bool
        Whether the depthwise convolution looks only at earlier frames.

    Shape
    -----
    x : [B, channels, T]
    skips : [B, skip_channels, T]
    output : the same two

    Raises
    ------
    ValueError
        If a size is below 1, or the kernel's even.

    Example
    -------
    >>> import torch
    >>> from speechbrain_dfkd.models.filterbank import GlobalLayerNorm
    >>> block = TemporalBlock(2, 8, 3, 3, 4, GlobalLayerNorm)
    >>> x, skips = block(torch.randn(1, 2, 9), torch.zeros(1, 3, 9))
    >>> x.shape, skips.shape
    (torch.Size([1, 2, 9]), torch.Size([1, 3, 9]))
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
        check_sizes(
            {
                "hidden_channels": hidden_channels,
                "skip_channels": skip_channels,
                "kernel_size": kernel_size,
            }
        )
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, got {kernel_size}; "
                "the published kernel has 3 taps"
            )
        reach = (kernel_size - 1) * dilation
        self.look_ahead_frames = 0 if causal else reach // 2
        self.paths = (channels, skip_channels)
        self.expand = nn.Sequential(
            nn.Conv1d(channels, hidden_channels, 1),
            nn.PReLU(),
            norm(hidden_channels),
        )
        self.depthwise = nn.Conv1d(
            hidden_channels,
            hidden_channels,
            kernel_size,
            padding=reach if causal else reach // 2,
            dilation=dilation,
            groups=hidden_channels,
        )
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
