"""A start at which an untrained mask network returns its input."""

import math

import torch
from torch import Tensor, nn

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
