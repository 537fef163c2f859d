"""Chunks of a long sequence, and the dual-path transformer over them.

Everything here has its channels last, ``[B, S, K, C]`` in chunks: linear
layers, attention, LSTM and the layer norm read that without a copy, and a path
needs no more than one transposition of S and K.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.models.arguments import check_sizes
from speechbrain_dfkd.models.temporal_norms import EPSILON
from speechbrain_dfkd.precision import to_autocast

# Sequences are independent: the activations of so many fit a CPU's cache, which
# makes an LSTM of 128 units a quarter faster than all at once.
SEQUENCES_AT_ONCE = 64


def split_chunks(x: Tensor, chunk_size: int) -> Tensor:
    """Cut a sequence into chunks that overlap by half.

    Luo, Chen and Yoshioka, Dual-Path RNN, ICASSP 2020, arXiv 1910.06379.
    Zeros are put before and after, so that every frame lies in two chunks. As
    in Asteroid, they fill all of the first chunk.

    Arguments
    ---------
    x : Tensor
        Sequences.
    chunk_size : int
        Frames in a chunk, even.

    Returns
    -------
    Tensor

    Shape
    -----
    x : [B, T, C]
    output : [B, S, chunk_size, C], S = T // (chunk_size // 2) + 3

    Example
    -------
    >>> split_chunks(torch.tensor([[[1.0], [2.0], [3.0]]]), 2)[0, ..., 0]
    tensor([[0., 0.],
            [0., 1.],
            [1., 2.],
            [2., 3.],
            [3., 0.],
            [0., 0.]])
    """
    hop = chunk_size // 2
    missing = 2 * hop - x.shape[1] % hop
    halves = F.pad(x, (0, 0, 2 * hop, missing)).unflatten(1, (-1, hop))
    return torch.cat((halves[:, :-1], halves[:, 1:]), 2)


def join_chunks(chunks: Tensor, length: int) -> Tensor:
    """Return the sequence whose chunks these are, as the mean of both.

    The inverse of ``split_chunks``: every frame lies in two chunks.

    Arguments
    ---------
    chunks : Tensor
        Chunks that overlap by half.
    length : int
        Frames of the sequence (T).

    Returns
    -------
    Tensor

    Shape
    -----
    chunks : [B, S, K, C]
    output : [B, T, C]

    Example
    -------
    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> join_chunks(split_chunks(x, 4), 3)[0, :, 0]
    tensor([1., 2., 3.])
    """
    first, second = chunks.chunk(2, 2)
    # The first two halves of all are the zeros put before.
    summed = second[:, 1:-1] + first[:, 2:]
    return 0.5 * summed.flatten(1, 2)[:, :length]


class SequenceNorm(nn.Module):
    """Normalise each sequence by the mean and variance of all it holds.

    Global layer norm as of ``GlobalLayerNorm``, with the channels last.
    Computed in float32 under autocast too.

    Arguments
    ---------
    channels : int
        Number of channels; each has its own gain and bias.

    Shape
    -----
    x : [N, T, channels]
    output : [N, T, channels]

    Example
    -------
    >>> norm = SequenceNorm(2)
    >>> norm(torch.tensor([[[1.0, 3.0], [3.0, 1.0]]]))  # mean 2, deviation 1
    tensor([[[-1.,  1.],
             [ 1., -1.]]], grad_fn=<NativeLayerNormBackward0>)
    """

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

    The improved transformer of Chen, Mao and Liu 2020, arXiv 2007.13975:
    self-attention, and a feed-forward part whose first layer is a
    bidirectional LSTM in place of a linear one, so that no positions are
    encoded; a norm after each sum.

    Arguments
    ---------
    channels : int
        Channels, a multiple of ``heads``.
    heads : int
        Heads of the attention.
    lstm_units : int
        Units of the LSTM in each direction.

    Shape
    -----
    x : [N, T, channels]
    output : [N, T, channels]

    Example
    -------
    >>> layer = ImprovedTransformer(8, heads=2, lstm_units=3)
    >>> layer(torch.randn(5, 7, 8)).shape
    torch.Size([5, 7, 8])
    """

    def __init__(self, channels: int, heads: int, lstm_units: int):
        super().__init__()
        check_sizes({"heads": heads, "lstm_units": lstm_units})
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
        if x.device.type != "cpu":
            return self._run(x)
        return torch.cat(
            [self._run(some) for some in x.split(SEQUENCES_AT_ONCE)]
        )

    def _run(self, x):
        # Both sums in float32, which the products are added to.
        x = self.attention_norm(x + self._attend(x))
        return self.norm(x + self.project(self.lstm(to_autocast(x))[0].relu()))

    def _attend(self, x):
        joint = self.attention_in(x).unflatten(2, (3, self.heads, -1))
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(query, key, value)
        return self.attention_out(heard.transpose(1, 2).flatten(2))


class DualPathBlock(nn.Module):
    """One layer along each chunk, then one across the chunks.

    The dual-path transformer block of Chen, Mao and Liu 2020, arXiv
    2007.13975: the second layer sees the frames of equal place in all chunks
    as a sequence.

    Arguments
    ---------
    channels, heads, lstm_units : int
        As of ``ImprovedTransformer``.

    Shape
    -----
    chunks : [B, S, K, channels]
    output : [B, S, K, channels]

    Example
    -------
    >>> block = DualPathBlock(8, heads=2, lstm_units=3)
    >>> block(torch.randn(1, 5, 4, 8)).shape
    torch.Size([1, 5, 4, 8])
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
