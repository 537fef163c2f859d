"""DFKD: distil low and high frequencies of each frame by their own objective.

Source: Yuan et al., "Dynamic Frequency-Adaptive Knowledge Distillation for
Speech Enhancement", ICASSP 2025, arXiv 2502.04711; details from the loss file
that Kim and Choi published with DISPatch, arXiv 2509.15922. The marks say how
sure a step is: [known] two independent sources state it, [single] only the
DISPatch file does, [inferred] it is a choice made here.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.losses.crossover import FrequencyAdapter, band_masks
from speechbrain_dfkd.losses.kd_loss import check_share
from speechbrain_dfkd.losses.spectral import (
    Band,
    SpectralLoss,
    Spectrum,
    Split,
    patch_mean,
    patch_sum,
)
from speechbrain_dfkd.stft import STFT


class BinTerms(NamedTuple):
    """What the bands need of each bin of student S and teacher T, [B, F, T]."""

    dot: Tensor  # Re(T conj(S))
    student_power: Tensor  # |S|^2
    teacher_power: Tensor  # |T|^2
    magnitude_error: Tensor  # (|T| - |S|)^2


class DFKDLoss(SpectralLoss):
    """Dynamic frequency-adaptive distillation of a teacher's output.

    With ``S`` and ``T`` the spectra of student and teacher and ``m`` the
    crossover that the adapter finds in the teacher alone [single]::

        cosine = 1 - Re<T, S> / (||T|| ||S||) over a band's bins of one frame
                                          [known], on complex spectra [single]
        L_low  = mean over frames of cosine over f <= m                [known]
        L_high = mean over frames of beta * cosine + (1 - beta) * mean over
                 the band's bins of (|T| - |S|)^2, both over f >= m
                         weighted [known], form [single], divisor [inferred]
        L_KD   = L_low + L_high                                       [single]

    All of these are [inferred]: only frames centred inside the utterance
    count, over the whole batch at once; what lies beyond the utterance is set
    to zero first, as half a window of it reaches the last frames; a band in
    which the norm of the teacher is at most eps adds nothing to the cosine,
    while its frame stays in the divisor of the mean.

    The teacher gets no gradient. The cosine's gradient grows as 1 / ||S||, to
    1 / eps at most for a student that is silent where the teacher is not.

    Arguments
    ---------
    stft : STFT, optional
        The transform; published, and the default: n_fft 512, hop 128, Hann
        [single].
    adapter : nn.Module, optional
        Maps the teacher's magnitudes [B, F, T] to a crossover bin per frame
        [B, T]; published, and the default: ``FrequencyAdapter()``.
    beta : float
        Weight in [0, 1] of the cosine in the high band; published: 0.5
        [single].
    eps : float
        Least norm that divides [inferred].
    energy_exponent, relative_level
        Not of the published loss: see ``SpectralLoss``. The cosine ignores
        level, so that a silent frame weighs as much as speech, while the
        magnitude error grows with the square of the waveforms' scale.

    Example
    -------
    >>> from speechbrain_dfkd.models import Enhanced
    >>> loss = DFKDLoss(beta=0.25)
    >>> teacher = torch.sin(torch.arange(2048.0)).reshape(1, -1)
    >>> opposite = Enhanced(-teacher, {})  # every cosine distance is 2
    >>> total, terms = loss(
    ...     opposite, Enhanced(teacher, {}), teacher, torch.ones(1)
    ... )
    >>> round(total.item(), 3)  # 2 + 0.25 * 2, and no error of magnitude
    2.5
    >>> terms["crossover_histogram"].sum().int().item()  # 2048 / 128 frames
    16
    """

    def __init__(
        self,
        stft: STFT | None = None,
        adapter: nn.Module | None = None,
        beta: float = 0.5,
        eps: float = 1e-8,
        energy_exponent: float = 0.0,
        relative_level: bool = False,
    ):
        super().__init__(stft or STFT(), energy_exponent, relative_level)
        check_share("beta", beta, 0.5)
        require("eps", eps > 0, "positive", eps, "1e-8 is usual")
        self.adapter = adapter or FrequencyAdapter()
        self.beta = beta
        self.eps = eps

    def split(self, teacher_mag: Tensor, valid: Tensor) -> Split:
        """Return ``l_low``, ``l_high`` and, of valid frames, the histogram [F]."""
        n_bins = teacher_mag.shape[1]
        crossover = self.adapter(teacher_mag)
        low, high = band_masks(crossover, n_bins)
        bands = {
            "l_low": Band(low.float(), partial(cosine_distance, eps=self.eps)),
            "l_high": Band(high.float(), self._high_error),
        }
        # No wait for a GPU, unlike torch.bincount.
        counts = crossover.new_zeros(n_bins, dtype=torch.float32)
        counts.scatter_add_(0, crossover.flatten(), valid.flatten().float())
        return bands, {"crossover_histogram": counts}

    def bin_terms(self, estimate: Spectrum, target: Spectrum) -> BinTerms:
        """Return the terms of each bin, once for both bands."""
        return BinTerms(
            dot=(target.spec.conj() * estimate.spec).real,
            student_power=estimate.mag.square(),
            teacher_power=target.mag.square(),
            magnitude_error=(target.mag - estimate.mag).square(),
        )

    def _high_error(self, bins: BinTerms, mask: Tensor, patch_bins: int):
        cosine = cosine_distance(bins, mask, patch_bins, self.eps)
        level = patch_mean(bins.magnitude_error, mask, patch_bins)
        return self.beta * cosine + (1 - self.beta) * level


def cosine_distance(
    bins: BinTerms, mask: Tensor, patch_bins: int, eps: float
) -> Tensor:
    """Return 1 - Re<T, S> / (||T|| ||S||) of each patch of a band.

    Where the teacher's norm is at most ``eps`` it counts as silent: 0.

    Shape
    -----
    mask : [B, F, T]
    output : [B, P, T]
    """
    student_power = patch_sum(bins.student_power, mask, patch_bins)
    teacher_power = patch_sum(bins.teacher_power, mask, patch_bins)
    # Below the guard the square root would have an infinite gradient.
    least = eps**2
    student_norm = student_power.clamp_min(least).sqrt()
    teacher_norm = teacher_power.clamp_min(least).sqrt()
    dot = patch_sum(bins.dot, mask, patch_bins)
    cosine = dot / (student_norm * teacher_norm)
    return (1 - cosine).masked_fill(teacher_power <= least, 0.0)
