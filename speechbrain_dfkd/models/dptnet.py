"""DPTNet: a dual-path transformer network on the waveform."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.models.base import check_even, check_sizes
from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    channels,
    conv_axes,
    lstm_axes,
    norm_axes,
    within,
)
from speechbrain_dfkd.models.filterbank import (
    EPSILON,
    FilterbankNetwork,
    GlobalLayerNorm,
)
from speechbrain_dfkd.stft import to_autocast

# Sequences are independent: the activations of so many fit a CPU's cache, which
# makes an LSTM of 128 units a quarter faster than all at once.
SEQUENCES_AT_ONCE = 64
# The blocks along one axis of a CUDA grid, on which attention kernels lay out
# sequences, some of them times heads. With more they fail with "invalid
# configuration argument" (pytorch/pytorch#146704); PyTorch splits such a batch
# itself in one of its kernels only.
MOST_ATTENTIONS = 65_535


def split_chunks(x: Tensor, chunk_size: int) -> Tensor:
    """Cut a sequence into chunks that overlap by half.

    Luo, Chen and Yoshioka, Dual-Path RNN, ICASSP 2020, arXiv 1910.06379.
    Zeros are put before and after, so that every frame lies in two chunks. As
    in Asteroid, they fill all of the first chunk.

    Shape
    -----
    x : [B, T, C]
    output : [B, S, chunk_size, C], S = T // (chunk_size // 2) + 3
    """
    hop = chunk_size // 2
    missing = 2 * hop - x.shape[1] % hop
    halves = F.pad(x, (0, 0, 2 * hop, missing)).unflatten(1, (-1, hop))
    return torch.cat((halves[:, :-1], halves[:, 1:]), 2)


def join_chunks(chunks: Tensor, length: int) -> Tensor:
    """Undo ``split_chunks``, as the mean of the two chunks of each frame."""
    first, second = chunks.chunk(2, 2)
    # The first two halves of all are the zeros put before.
    summed = second[:, 1:-1] + first[:, 2:]
    return 0.5 * summed.flatten(1, 2)[:, :length]


class SequenceNorm(nn.Module):
    """Global layer norm of [N, T, channels], in float32 as the other."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        shape = x.shape[1:]
        # Layer norm has a gain for every element: the same in all frames.
        gain, bias = self.weight.expand(shape), self.bias.expand(shape)
        return F.layer_norm(x.float(), shape, gain, bias, EPSILON)


class ImprovedTransformer(nn.Module):
    """A transformer layer that knows the order of frames by an LSTM.

    The improved transformer of Chen, Mao and Liu 2020, arXiv 2007.13975: the
    first layer of the feed-forward part is a bidirectional LSTM, so that no
    positions are encoded.

    Shape
    -----
    x, output : [N, T, channels], channels a multiple of heads
    """

    def __init__(self, channels: int, heads: int, lstm_units: int):
        super().__init__()
        self.heads = heads
        self.attention_in = nn.Linear(channels, 3 * channels)
        self.attention_out = nn.Linear(channels, channels)
        self.attention_norm = SequenceNorm(channels)
        self.lstm = nn.LSTM(
            channels, lstm_units, batch_first=True, bidirectional=True
        )
        self.project = nn.Linear(2 * lstm_units, channels)
        self.norm = SequenceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sequences, each of them seen as a whole."""
        is_cpu = x.device.type == "cpu"
        most = SEQUENCES_AT_ONCE if is_cpu else MOST_ATTENTIONS // self.heads
        if len(x) <= most:
            return self._run(x)
        return torch.cat([self._run(part) for part in x.split(most)])

    def _run(self, x: Tensor) -> Tensor:
        # Both sums in float32, which the products are added to.
        x = self.attention_norm(x + self._attend(x))
        return self.norm(x + self.project(self.lstm(to_autocast(x))[0].relu()))

    def _attend(self, x: Tensor) -> Tensor:
        joint = self.attention_in(x).unflatten(2, (3, self.heads, -1))
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(query, key, value)
        return self.attention_out(heard.transpose(1, 2).flatten(2))


class DualPathBlock(nn.Module):
    """One layer along each chunk, then one across the chunks.

    The second sees the frames of equal place in all chunks as a sequence.

    Shape
    -----
    chunks, output : [B, S, K, channels]
    """

    def __init__(self, channels: int, heads: int, lstm_units: int):
        super().__init__()
        self.intra = ImprovedTransformer(channels, heads, lstm_units)
        self.inter = ImprovedTransformer(channels, heads, lstm_units)

    def forward(self, chunks: Tensor) -> Tensor:
        """Return the chunks after both paths."""
        along = _each_sequence(self.intra, chunks)
        return _each_sequence(self.inter, along.transpose(1, 2)).transpose(1, 2)


def _each_sequence(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer over axis 2 of [B, S, K, C]."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class DPTNet(FilterbankNetwork):
    """Dual-path transformer network, for one source.

    Chen, Mao and Liu, Dual-Path Transformer Network: Direct Context-Aware
    Modeling for End-to-End Monaural Speech Separation, Interspeech 2020, arXiv
    2007.13975. For the mask of ``FilterbankNetwork``'s equation, the rectified
    frames are normalised and cut into chunks that overlap by half; transformer
    layers run along each chunk and across the chunks in turn, so that every
    frame hears every other; the chunks are joined and gated,
    ``mask = bound(tanh(A x) * sigmoid(B x))``.

    The defaults are the published size, in Asteroid's reading of it: chunks of
    100 frames, no bottleneck before the chunks, and 2.80 M parameters with one
    mask. Windows are 1 ms at 16 kHz.

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
    heads, lstm_units : int
        Of every attention, and of every LSTM in each direction.
    mask : str
        What bounds the gated mask: "relu", as published, to between 0 and 1,
        or "sigmoid", to between 0.27 and 0.73.
    initial_filters : str
        How the filters begin: "random", as published, or "mdct", so that the
        untrained network returns its input.

    Shape
    -----
    noisy : [B, L]
    output.wav : [B, L]
    output.features : "encoder", "block.0" and so on (after that block, its
        chunks joined) and "mask": [B, n_filters, T], a frame every
        ``filter_length // 2`` samples

    Example
    -------
    >>> model = DPTNet(8, 32, chunk_size=10, blocks=2, lstm_units=3)
    >>> enhanced = model(torch.randn(2, 1601), features=["block.1"])
    >>> enhanced.wav.shape
    torch.Size([2, 1601])
    >>> enhanced.features["block.1"].shape  # 1 + ceil((1601 - 32) / 16)
    torch.Size([2, 8, 100])
    """

    rectified = True

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
        settings = {"chunk_size": chunk_size, "heads": heads}
        super().__init__(n_filters, filter_length, mask, settings)
        check_sizes(chunk_size=chunk_size, blocks=blocks, heads=heads)
        check_sizes(lstm_units=lstm_units)
        check_even("chunk_size", chunk_size)
        multiple, constraint = n_filters % heads == 0, f"a multiple of {heads}"
        require("n_filters", multiple, constraint, n_filters, "change heads")
        self.chunk_size = chunk_size
        self.norm = GlobalLayerNorm(n_filters)
        self.blocks = nn.ModuleList(
            DualPathBlock(n_filters, heads, lstm_units) for _ in range(blocks)
        )
        self.activation = nn.PReLU()
        self.project = nn.Linear(n_filters, n_filters)
        self.gate = nn.Linear(n_filters, 2 * n_filters)
        self._add_decoder(initial_filters)

    def _open_mask(self) -> float:
        nn.init.zeros_(self.gate.weight)
        # Between where the gated mask is shut and where it is saturated.
        nn.init.ones_(self.gate.bias)
        one = torch.ones((), device="cpu")
        return float(self.bound_mask(one.tanh() * one.sigmoid()))

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one.

        All layers add to one residual path, and the mask multiplies the filters
        that it begins with: one group. In each head, queries and keys share one
        order, and so do the values and what reads them. A network of fewer
        blocks has the first ones.
        """
        filters, layers = self._filter_axes()
        gated = channels("project", self.project.out_features)
        layers |= {
            "norm": (self.norm, norm_axes(filters)),
            "activation": (self.activation, {}),
            "project": (self.project, conv_axes(gated, filters)),
            "gate": (self.gate, conv_axes(filters * 2, gated)),
        }
        for i, block in enumerate(self.blocks):
            for path, layer in block.named_children():
                role = f"block.{i}.{path}"
                layers[role] = layer, _transformer_axes(layer, role, filters)
        return ChannelAxes(self.settings, layers)

    def _estimate_mask(self, encoded: Tensor, features: Collection, kept: dict):
        frames = encoded.shape[2]
        chunks = split_chunks(self.norm(encoded).mT, self.chunk_size)
        for i, block in enumerate(self.blocks):
            chunks = block(chunks)
            if f"block.{i}" in features:
                kept[f"block.{i}"] = join_chunks(chunks, frames).mT
        # Published before the join, which is linear too and halves the work.
        x = self.project(join_chunks(self.activation(chunks), frames))
        value, gate = self.gate(x).float().chunk(2, 2)
        return self.bound_mask(value.tanh() * gate.sigmoid()).mT


def _transformer_axes(layer: ImprovedTransformer, role: str, residual: tuple):
    of_head = layer.attention_out.in_features // layer.heads
    compared, values = (), ()
    for head in range(layer.heads):
        compared += channels(f"{role}.head.{head}.key", of_head)
        values += channels(f"{role}.head.{head}.value", of_head)
    forward, backward = (
        channels(f"{role}.lstm.{direction}", layer.lstm.hidden_size)
        for direction in ("forward", "backward")
    )
    return {
        **within("attention_in", conv_axes(compared * 2 + values, residual)),
        **within("attention_out", conv_axes(residual, values)),
        **within("attention_norm", norm_axes(residual)),
        **within("lstm", lstm_axes(forward, residual)),
        **within("lstm", lstm_axes(backward, residual, "l0_reverse")),
        **within("project", conv_axes(residual, forward + backward)),
        **within("norm", norm_axes(residual)),
    }
