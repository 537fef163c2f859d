"""What is done to a spectrum before a network's layers see it."""

import torch
from torch import Tensor

# -100 dB of full scale: the level that a silent waveform counts with.
LOWEST_LEVEL = 1e-5
# Keeps the gain of an empty bin finite.
LOWEST_MAGNITUDE = 1e-6


def at_unit_level(spec: Tensor, wav: Tensor) -> Tensor:
    """Scale spectra as if their waveforms had an RMS of 1.

    Arguments
    ---------
    spec : Tensor
        Spectra.
    wav : Tensor
        Their waveforms, whose level is that of all samples, zeros padded to
        them included.

    Shape
    -----
    spec : [B, F, T]
    wav : [B, L]
    output : [B, F, T]

    Example
    -------
    >>> wav = torch.tensor([[3.0, -3.0], [0.5, 0.5]])
    >>> at_unit_level(torch.ones(2, 1, 1), wav).flatten()
    tensor([0.3333, 2.0000])
    """
    # Sums of squares are not for half precision.
    rms = wav.float().square().mean(1).sqrt()
    return spec / rms.clamp_min(LOWEST_LEVEL)[:, None, None]


def compress(spec: Tensor, exponent: float) -> Tensor:
    """Raise the magnitudes of spectra to a power; phases stay.

    Arguments
    ---------
    spec : Tensor
        Spectra, complex.
    exponent : float
        The power; 1 returns them as they are.

    Shape
    -----
    spec : [B, F, T]
    output : [B, F, T]

    Example
    -------
    >>> compress(torch.tensor([[[-4.0 + 0.0j, 9.0j]]]), 0.5)
    tensor([[[-2.+0.j,  0.+3.j]]])
    """
    if exponent == 1:
        return spec
    magnitude = spec.abs().clamp_min(LOWEST_MAGNITUDE)
    return spec * magnitude.pow(exponent - 1)


def scale_first_bin(stacked: Tensor, gain: float) -> Tensor:
    """Multiply bin 0 of stacked spectra.

    Arguments
    ---------
    stacked : Tensor
        Spectra, real and imaginary parts as channels.
    gain : float
        The factor.

    Shape
    -----
    stacked : [B, 2, F, T]
    output : [B, 2, F, T]

    Example
    -------
    >>> scale_first_bin(torch.ones(1, 1, 3, 1), 0.5).flatten()
    tensor([0.5000, 1.0000, 1.0000])
    """
    if gain == 1:  # nearly always: spare the copy
        return stacked
    return torch.cat((gain * stacked[:, :, :1], stacked[:, :, 1:]), 2)
