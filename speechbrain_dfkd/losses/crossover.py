"""Adapters: from magnitudes [B, F, T] to crossover bins [B, T]."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.losses.kd_loss import widened


class FrequencyAdapter(nn.Module):
    """Finds the bin at which the teacher's spectrum rises most steeply.

    For each frame, with ``T`` the teacher's spectrum::

        E[f] = max over k <= f of |T[k]|         envelope   [single]
        d[f] = (E[f + 1] - E[f]) / (E[f] + eps)  slope      [known],
                                  relative to the level     [single]
        m    = the first f at which d is largest crossover  [known]

    One crossover a frame, without smoothing and without gradient [known]; that
    of a frame without any energy is 0 [inferred].

    Arguments
    ---------
    eps : float
        Guards the division by an envelope of zero; far below the level of
        any signal [inferred].

    Example
    -------
    >>> adapter = FrequencyAdapter()
    >>> one_frame = torch.tensor([1.0, 2.0, 1.0, 8.0, 9.0])
    >>> # envelope 1 2 2 8 9, slopes 1/1 0/2 6/2 1/8
    >>> adapter(one_frame.reshape(1, 5, 1))
    tensor([[2]])
    """

    def __init__(self, eps: float = 1e-8):
        super().__init__()
        require("eps", eps > 0, "positive", eps, "1e-8 is usual")
        self.eps = eps

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame: int64 [B, T], 0 to F - 2."""
        envelope = widened(teacher_mag).cummax(dim=1).values
        slope = envelope.diff(dim=1) / (envelope[:, :-1] + self.eps)
        return slope.argmax(dim=1)


def band_masks(crossover: Tensor, n_bins: int) -> tuple[Tensor, Tensor]:
    """Return low: ``f <= m``, and high: ``f >= m``; m is in both [single].

    Shape
    -----
    crossover : [B, T]
    low, high : [B, n_bins, T], True in the bins of the band
    """
    bins = torch.arange(n_bins, device=crossover.device)[:, None]
    crossover = crossover.unsqueeze(1)
    return bins <= crossover, bins >= crossover


class SpectralRolloff(nn.Module):
    """The first bin below which lies a share of the frame's energy.

    ::

        m = first f with sum over k <= f of |T[k]|^2
                         >= share * sum over all k of |T[k]|^2

    Arguments
    ---------
    share : float
        Above 0 and below 1.

    Example
    -------
    >>> frame = torch.tensor([3.0, 2.0, 2.0, 2.0, 2.0]).reshape(1, 5, 1)
    >>> SpectralRolloff(0.75)(frame)  # 9, 13, 17, 21, 25 of 25
    tensor([[3]])
    """

    def __init__(self, share: float = 0.9):
        super().__init__()
        require("share", 0 < share < 1, "above 0 and below 1", share, "try 0.9")
        self.share = share

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        energy = widened(teacher_mag).square().cumsum(dim=1)
        reached = energy >= self.share * energy[:, -1:]
        first = reached.int().argmax(dim=1)
        return first.clamp_max(teacher_mag.shape[1] - 2)


class FallingEnvelope(nn.Module):
    """The bin after which the envelope of what lies above falls most.

    The mirror image of the published rule::

        E[f] = max over k >= f of |T[k]|, at least floor_db below its maximum
        m    = the first f at which (E[f] - E[f + 1]) / E[f] is largest

    In a recording of limited bandwidth that is the band's edge.

    Arguments
    ---------
    floor_db : float
        Relative to the frame's largest magnitude, in dB; below it a drop
        leads from nothing to nothing.

    Example
    -------
    >>> frame = torch.tensor([8.0, 1.0, 6.0, 2.0, 1.0]).reshape(1, 5, 1)
    >>> FallingEnvelope()(frame)  # E: 8 6 6 2 1, drops 2/8 0 4/6 1/2
    tensor([[2]])
    """

    def __init__(self, floor_db: float = -40.0):
        super().__init__()
        self.floor = _floor(floor_db)

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        audible = _audible(widened(teacher_mag), self.floor)
        envelope = audible.flip(1).cummax(dim=1).values.flip(1)
        return (1 - envelope[:, 1:] / envelope[:, :-1]).argmax(dim=1)


class LogMagnitudeSlope(nn.Module):
    """The bin after which the smoothed log-magnitude falls most steeply.

    ::

        A[f] = mean over |k - f| <= n_bins // 2 of log |T[k]|,
               |T| at least floor_db below the frame's maximum, and continued
               beyond the first and the last bin by their values
        m    = the first f at which A[f] - A[f + 1] is largest

    Arguments
    ---------
    n_bins : int
        Width of the smoothing, odd: 33 bins of 31.25 Hz are about 1 kHz.
    floor_db : float
        Relative to the frame's largest magnitude, in dB.

    Example
    -------
    >>> frame = torch.tensor([8.0, 8.0, 4.0, 1.0, 1.0]).reshape(1, 5, 1)
    >>> LogMagnitudeSlope(n_bins=1)(frame)  # 8 to 4, then 4 to 1
    tensor([[2]])
    """

    def __init__(self, n_bins: int = 33, floor_db: float = -60.0):
        super().__init__()
        _check_odd("n_bins", n_bins)
        self.n_bins = n_bins
        self.floor = _floor(floor_db)

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        log_mag = _audible(widened(teacher_mag), self.floor).log()
        half = self.n_bins // 2
        ends = log_mag[:, :1], log_mag[:, -1:]
        below, above = (end.expand(-1, half, -1) for end in ends)
        padded = torch.cat([below, log_mag, above], dim=1)
        # A[f] - A[f + 1] without the sums: all but two values cancel.
        return (padded[:, : -self.n_bins] - padded[:, self.n_bins :]).argmax(1)


class SmoothedOverTime(nn.Module):
    """Any adapter on magnitudes that are averaged over some frames.

    Neighbouring frames then split at similar bins. Beyond the first and the
    last frame lies silence.

    Arguments
    ---------
    adapter : nn.Module
        Maps magnitudes [B, F, T] to crossover bins [B, T].
    n_frames : int
        Frames in the average, odd, the middle one being the frame itself.

    Example
    -------
    >>> frames = torch.tensor([[[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]]])
    >>> SpectralRolloff(0.9)(frames)  # at most F - 2
    tensor([[0, 1]])
    >>> SmoothedOverTime(SpectralRolloff(0.9), 3)(frames)
    tensor([[1, 1]])
    """

    def __init__(self, adapter: nn.Module, n_frames: int):
        super().__init__()
        _check_odd("n_frames", n_frames)
        self.adapter = adapter
        self.n_frames = n_frames

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        mag, half = widened(teacher_mag), self.n_frames // 2
        return self.adapter(F.avg_pool1d(mag, self.n_frames, 1, half))


def _audible(magnitudes: Tensor, floor: float) -> Tensor:
    """Lift what is below a floor relative to the frame's maximum."""
    peak = magnitudes.amax(dim=1, keepdim=True)
    # A silent frame becomes flat.
    return torch.maximum(magnitudes, floor * peak).masked_fill(peak == 0, 1.0)


def _floor(floor_db: float) -> float:
    require("floor_db", floor_db < 0, "negative", floor_db, "try -60")
    return 10 ** (floor_db / 20)


def _check_odd(name: str, value: int) -> None:
    fulfilled = value > 0 and value % 2 == 1
    require(name, fulfilled, "an odd number", value, "1 does not smooth")


# Odd 63-bit constants for mixing bits, as of the multiplicative hashes.
_SPREAD = 0x1E3779B97F4A7C15
_MIX = 0x3F58476D1CE4E5B9


class FixedSplit(nn.Module):
    """The same crossover in every frame: what an adapter has to beat.

    Arguments
    ---------
    crossover : int
        The bin, of 31.25 Hz with n_fft 512 at 16 kHz.

    Example
    -------
    >>> FixedSplit(2)(torch.rand(1, 5, 3))
    tensor([[2, 2, 2]])
    """

    def __init__(self, crossover: int):
        super().__init__()
        require("crossover", crossover >= 0, "at least 0", crossover, "try 32")
        self.crossover = crossover

    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame."""
        batch, n_bins, n_frames = teacher_mag.shape
        place = min(self.crossover, n_bins - 2)
        return torch.full((batch, n_frames), place, device=teacher_mag.device)


class RandomSplit(nn.Module):
    """A crossover drawn evenly from all bins in each frame: the control.

    The draw is a hash of ``seed`` and of the bits of the frame's magnitudes
    in float32: without global state, a crop has the same splits after a resume
    and in any batch.

    Arguments
    ---------
    seed : int
        At least 0; another one draws other splits.

    Example
    -------
    >>> frames = torch.rand(1, 257, 50)
    >>> split = RandomSplit(seed=1)
    >>> split(frames).equal(split(frames)), len(split(frames).unique()) > 20
    (True, True)
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        require("the split's seed", seed >= 0, "at least 0", seed, "take any")
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
