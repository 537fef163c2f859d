"""What Conv-TasNet and DPTNet share: the first filters and the norms."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_FILTERS = ("random", "mdct")


def mdct_filters(hop_length: int) -> Tensor:
    """Return the filters of a modified discrete cosine transform.

    ::

        h_k[n] = sqrt(2 / M) sin(pi / 2M (n + 1/2))
                 cos(pi / M (n + 1/2 + M / 2) (k + 1/2))

    Princen, Johnson and Bradley, Subband/Transform Coding Using Filter Bank
    Designs Based on Time Domain Aliasing Cancellation, ICASSP 1987. With a
    step of M samples, as many filters as samples in a step lose nothing:
    they are orthonormal, also to those of the neighbouring frames.

    Arguments
    ---------
    hop_length : int
        The step M in samples.

    Returns
    -------
    Tensor
        [M, 2 M]

    Example
    -------
    >>> filters = mdct_filters(8)
    >>> torch.allclose(filters @ filters.mT, torch.eye(8), atol=1e-6)
    True
    >>> next_frame = filters[:, :8] @ filters[:, 8:].mT
    >>> torch.allclose(next_frame, torch.zeros(8, 8), atol=1e-6)
    True
    """
    n = torch.arange(2 * hop_length, dtype=torch.float64) + 0.5
    k = torch.arange(hop_length, dtype=torch.float64)[:, None] + 0.5
    phases = math.pi / hop_length * (n + hop_length / 2) * k
    window = (math.pi / (2 * hop_length) * n).sin()
    return ((2 / hop_length) ** 0.5 * window * phases.cos()).float()


@torch.no_grad()
def start_from_mdct(
    encoder: nn.Conv1d,
    decoder: nn.ConvTranspose1d,
    initial_mask: float,
    rectified: bool,
) -> None:
    """Let a waveform network begin by returning its input.

    From random filters, a small network first spends a good part of a short
    training on an encoder and a decoder that fit each other. Here they begin
    as an MDCT and its inverse; behind a rectifier, the MDCT comes with both
    signs. Filters beyond those keep their random values in the encoder and
    begin at zero in the decoder. All are trained as ever. [ours]

    Arguments
    ---------
    encoder, decoder : nn.Conv1d, nn.ConvTranspose1d
        Filters of half overlapping frames; changed in place.
    initial_mask : float
        What the untrained mask is everywhere.
    rectified : bool
        Whether a rectifier follows the encoder.

    Raises
    ------
    ValueError
        If there are too few filters.
    """
    hop_length = encoder.stride[0]
    basis = mdct_filters(hop_length)
    if rectified:
        basis = torch.cat((basis, -basis))
    if len(basis) > encoder.out_channels:
        raise ValueError(
            f"n_filters must be at least {len(basis)} for initial_filters mdct of "
            f"length {2 * hop_length}, got {encoder.out_channels}; take "
            "shorter filters, or random ones"
        )
    used = slice(len(basis))
    encoder.weight[used, 0] = basis.to(encoder.weight)
    decoder.weight.zero_()
    decoder.weight[used, 0] = basis.to(decoder.weight) / initial_mask


EPSILON = 1e-8


class GlobalLayerNorm(nn.GroupNorm):
    """Normalise by the mean and variance of all channels and frames.

    Global layer norm (gLN) of Luo and Mesgarani 2019, arXiv 1809.07454. It
    looks at the whole utterance. Computed in float32 under autocast too.

    Arguments
    ---------
    channels : int
        Number of channels; each has its own gain and bias.

    Shape
    -----
    x : [B, channels, T]
    output : [B, channels, T]

    Example
    -------
    >>> norm = GlobalLayerNorm(2)
    >>> norm(torch.tensor([[[1.0, 3.0], [3.0, 1.0]]]))  # mean 2, deviation 1
    tensor([[[-1.,  1.],
             [ 1., -1.]]], grad_fn=<NativeGroupNormBackward0>)
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

    Arguments
    ---------
    channels : int
        Number of channels; each has its own gain and bias.

    Shape
    -----
    x : [B, channels, T]
    output : [B, channels, T]

    Example
    -------
    >>> norm = CumulativeLayerNorm(2)
    >>> x = torch.tensor([[[1.0, 6.0], [3.0, 6.0]]])
    >>> first = norm(x)[0, :, 0].tolist()  # of 1 and 3: mean 2, deviation 1
    >>> [round(value, 3) for value in first]
    [-1.0, 1.0]
    >>> second = norm(x)[0, 0, 1]  # of 1, 3, 6, 6: mean 4, variance 4.5
    >>> round(second.item() ** 2, 3)  # 4 / 4.5
    0.889
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
