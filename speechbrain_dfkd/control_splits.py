"""Splits that do not look for anything: the controls of every adapter.

They take the place of a ``FrequencyAdapter``: magnitudes [B, F, T] to a bin
per frame [B, T] in [0, F - 2].
"""

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError

# Odd 63-bit constants for mixing bits, as of the multiplicative hashes.
_SPREAD = 0x1E3779B97F4A7C15
_MIX = 0x3F58476D1CE4E5B9


class FixedSplit(nn.Module):
    """The same crossover in every frame: what an adapter has to beat.

    Arguments
    ---------
    crossover : int
        The bin, of 31.25 Hz with n_fft 512 at 16 kHz.

    Raises
    ------
    UserError
        If ``crossover`` is negative.

    Shape
    -----
    teacher_mag : [B, F, T]
    output : [B, T]

    Example
    -------
    >>> FixedSplit(2)(torch.rand(1, 5, 3))
    tensor([[2, 2, 2]])
    """

    def __init__(self, crossover: int):
        super().__init__()
        if crossover < 0:
            raise UserError(
                f"crossover must be at least 0, got {crossover}; 32 is 1 kHz "
                f"with n_fft 512"
            )
        self.crossover = crossover

    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        batch, n_bins, n_frames = teacher_mag.shape
        return torch.full(
            (batch, n_frames),
            min(self.crossover, n_bins - 2),
            device=teacher_mag.device,
        )


class RandomSplit(nn.Module):
    """A crossover drawn evenly from all bins in each frame: the control.

    The draw is a hash of ``seed`` and of the bits of the frame's magnitudes
    in float32. So it needs no global state: the same crop gives the same
    splits after a resume and in any batch, another crop gives others.

    Arguments
    ---------
    seed : int
        At least 0.

    Raises
    ------
    UserError
        If ``seed`` is negative.

    Shape
    -----
    teacher_mag : [B, F, T]
    output : [B, T]

    Example
    -------
    >>> frames = torch.rand(1, 257, 50)
    >>> split = RandomSplit(seed=1)
    >>> split(frames).equal(split(frames)), len(split(frames).unique()) > 20
    (True, True)
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        if seed < 0:
            raise UserError(
                f"the split's seed must be at least 0, got {seed}; any other "
                f"number will do"
            )
        self.salt = (seed * _SPREAD) % 2**63

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        n_bins = teacher_mag.shape[1]
        # + 0.0 makes a negative zero a zero. Integers wrap around, so that
        # their sum is the same in any order.
        bits = (teacher_mag.float() + 0.0).view(torch.int32).long()
        places = torch.arange(n_bins, device=bits.device)[:, None] + 1
        mixed = ((bits ^ places) * (2 * places + 1) * _SPREAD).sum(1)
        return _mix(_mix(mixed + self.salt)).remainder(n_bins - 1)


def _mix(bits: Tensor) -> Tensor:
    """Spread every bit of an integer over all others."""
    bits = (bits ^ (bits >> 31)) * _MIX
    return bits ^ (bits >> 29)
