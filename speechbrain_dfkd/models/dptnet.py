"""DPTNet: a dual-path transformer network on the waveform."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from speechbrain_dfkd.models.arguments import (
    check_choice,
    check_even,
    check_sizes,
)
from speechbrain_dfkd.models.channel_axes import ChannelAxes
from speechbrain_dfkd.models.dptnet_channels import dptnet_channels
from speechbrain_dfkd.models.dual_path import (
    DualPathBlock,
    join_chunks,
    split_chunks,
)
from speechbrain_dfkd.models.enhanced import Enhanced, keep
from speechbrain_dfkd.models.mdct_start import INITIAL_FILTERS, start_from_mdct
from speechbrain_dfkd.models.temporal_norms import GlobalLayerNorm
from speechbrain_dfkd.models.waveform import check_waveform, pad_to_frames
from speechbrain_dfkd.precision import full_precision

MASKS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


class DPTNet(nn.Module):
    """Dual-path transformer network, for one source.

    Chen, Mao and Liu, Dual-Path Transformer Network: Direct Context-Aware
    Modeling for End-to-End Monaural Speech Separation, Interspeech 2020, arXiv
    2007.13975. With a linear encoder ``U`` and decoder ``V`` of half
    overlapping frames ``y`` of the noisy waveform:

        ``enhanced = overlap_add(V (w * mask(w)))``, ``w = relu(U y)``.

    The frames of ``w`` are normalised and cut into chunks that overlap by
    half; transformer layers run along each chunk and across the chunks in
    turn, so that every frame hears every other; the chunks are joined and
    gated, ``mask = bound(tanh(A x) * sigmoid(B x))``.

    The defaults are the published size, in Asteroid's reading of it: chunks of
    100 frames, no bottleneck before the chunks, and 2.80 M parameters with one
    mask. Windows are 1 ms at 16 kHz. The waveform is padded with zeros at its
    end to whole frames, at least one.

    Arguments
    ---------
    n_filters : int
        Filters of the encoder and of the decoder, and the channels of all
        layers between; a multiple of ``heads``.
    filter_length : int
        Their length in samples, even; half of it is the step.
    chunk_size : int
        Frames in a chunk, even; half of it is the step between chunks.
    blocks : int
        Pairs of a layer along and a layer across the chunks.
    heads : int
        Heads of the attention.
    lstm_units : int
        Units of every LSTM in each direction.
    mask : str
        What bounds the gated mask: "relu", as published, to between 0 and 1,
        or "sigmoid", to between 0.27 and 0.73.
    initial_filters : str
        How the filters begin: "random", as published, or "mdct", so that the
        untrained network returns its input (``start_from_mdct``).

    Shape
    -----
    noisy : [B, L]
    output.wav : [B, L]
    output.features : [B, n_filters, T], a frame every ``filter_length // 2``
        samples; the chunks of a block are joined

    Raises
    ------
    ValueError
        If an argument is out of its range, the input is not a waveform, or a
        feature has no such name.

    Example
    -------
    >>> model = DPTNet(8, 32, chunk_size=10, blocks=2, lstm_units=3)
    >>> enhanced = model(torch.randn(2, 1601), features=["block.1"])
    >>> enhanced.wav.shape
    torch.Size([2, 1601])
    >>> enhanced.features["block.1"].shape  # 1 + ceil((1601 - 32) / 16)
    torch.Size([2, 8, 100])
    """

    def __init__(
        self,
        n_filters: int = 64,
        filter_length: int = 16,
        chunk_size: int = 100,
        blocks: int = 6,
        heads: int = 4,
        lstm_units: int = 128,
        mask: str = "relu",
        initial_filters: str = "random",
    ):
        super().__init__()
        check_sizes({"n_filters": n_filters, "filter_length": filter_length})
        check_sizes({"chunk_size": chunk_size, "blocks": blocks})
        check_sizes({"heads": heads, "lstm_units": lstm_units})
        check_even("filter_length", filter_length)
        check_even("chunk_size", chunk_size)
        _check_heads(n_filters, heads)
        check_choice("mask", mask, MASKS)
        check_choice("initial_filters", initial_filters, INITIAL_FILTERS)
        self.settings = {
            "filter_length": filter_length,
            "chunk_size": chunk_size,
            "heads": heads,
            "mask": mask,
        }
        self.filter_length, self.hop_length = filter_length, filter_length // 2
        self.chunk_size = chunk_size
        self.bound_mask = MASKS[mask]
        self.encoder = nn.Conv1d(
            1, n_filters, filter_length, self.hop_length, bias=False
        )
        self.norm = GlobalLayerNorm(n_filters)
        self.blocks = nn.ModuleList(
            DualPathBlock(n_filters, heads, lstm_units) for _ in range(blocks)
        )
        self.activation = nn.PReLU()
        self.project = nn.Linear(n_filters, n_filters)
        self.gate = nn.Linear(n_filters, 2 * n_filters)
        self.decoder = nn.ConvTranspose1d(
            n_filters, 1, filter_length, self.hop_length, bias=False
        )
        if initial_filters == "mdct":
            self._start_from_mdct()

    def _start_from_mdct(self):
        nn.init.zeros_(self.gate.weight)
        # Between where the gated mask is shut and where it is saturated.
        nn.init.ones_(self.gate.bias)
        one = torch.ones((), device="cpu")
        mask = float(self.bound_mask(one.tanh() * one.sigmoid()))
        start_from_mdct(self.encoder, self.decoder, mask, rectified=True)

    @property
    def look_ahead_samples(self) -> float:
        """How many later samples an output sample can depend on: all."""
        return math.inf

    @property
    def feature_names(self) -> list[str]:
        """What can be asked for, in the order of computation."""
        blocks = (f"block.{i}" for i in range(len(self.blocks)))
        return ["encoder", *blocks, "mask"]

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one."""
        return dptnet_channels(self, self.settings)

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
            (after that block), "mask".

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
            encoded = self.encoder(padded[:, None]).relu()
        keep(encoded, "encoder", features, kept)
        mask = self._estimate_mask(encoded, features, kept)
        with full_precision(noisy.device):
            wav = self.decoder(encoded * mask)[:, 0, : noisy.shape[1]]
        return Enhanced(wav, kept)

    def _estimate_mask(self, encoded, features, kept):
        frames = encoded.shape[2]
        chunks = split_chunks(self.norm(encoded).mT, self.chunk_size)
        for i, block in enumerate(self.blocks):
            chunks = block(chunks)
            if f"block.{i}" in features:
                kept[f"block.{i}"] = join_chunks(chunks, frames).mT
        # Published before the join, which is linear too and halves the work.
        x = self.project(join_chunks(self.activation(chunks), frames))
        value, gate = self.gate(x).float().chunk(2, 2)
        mask = self.bound_mask(value.tanh() * gate.sigmoid()).mT
        return keep(mask, "mask", features, kept)


def _check_heads(n_filters: int, heads: int):
    """Refuse channels that cannot be shared out among the heads."""
    if n_filters % heads:
        raise ValueError(
            f"n_filters must be a multiple of heads = {heads}, got "
            f"{n_filters}; change either"
        )
