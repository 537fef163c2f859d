"""DFKD: distil low and high frequencies of each frame by their own objective.

Source: Yuan et al., "Dynamic Frequency-Adaptive Knowledge Distillation for
Speech Enhancement", ICASSP 2025, arXiv 2502.04711; details from the loss file
that Kim and Choi published with DISPatch, arXiv 2509.15922. The marks say how
sure a step is: [known] two independent sources state it, [single] only the
DISPatch file does, [inferred] it is a choice made here.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.frequency_adapter import FrequencyAdapter, band_masks
from speechbrain_dfkd.losses.lengths import check_same_shape, sample_mask
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.stft import STFT


class BinTerms(NamedTuple):
    """What the band objectives need of each time-frequency bin, [B, F, T].

    Arguments
    ---------
    dot : Tensor
        Re(T conj(S)), the inner product of teacher and student.
    student_power : Tensor
        |S|^2.
    teacher_power : Tensor
        |T|^2.
    magnitude_error : Tensor
        (|T| - |S|)^2.
    """

    dot: Tensor
    student_power: Tensor
    teacher_power: Tensor
    magnitude_error: Tensor


class DFKDLoss(nn.Module):
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
    stft : STFT
        The transform; published: n_fft 512, hop 128, Hann [single].
    adapter : FrequencyAdapter
        Anything that maps the teacher's magnitudes [B, F, T] to a crossover
        bin per frame [B, T].
    beta : float
        Weight in [0, 1] of the cosine in the high band; published: 0.5
        [single].
    eps : float
        Least norm that divides [inferred].

    Raises
    ------
    UserError
        If ``beta`` or ``eps`` is out of its range.

    Example
    -------
    >>> loss = DFKDLoss(STFT(), FrequencyAdapter(), beta=0.25)
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
        stft: STFT,
        adapter: FrequencyAdapter,
        beta: float = 0.5,
        eps: float = 1e-8,
    ):
        super().__init__()
        if not 0 <= beta <= 1:
            raise UserError(f"beta must be in [0, 1], got {beta}; 0.5 is usual")
        if eps <= 0:
            raise UserError(f"eps must be positive, got {eps}; 1e-8 is usual")
        self.stft = stft
        self.adapter = adapter
        self.beta = beta
        self.eps = eps

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_KD and what to log of it.

        Arguments
        ---------
        student : Enhanced
            The student's output.
        teacher : Enhanced
            The teacher's output for the same input.
        clean : Tensor
            Clean waveforms; not used, part of the contract of KD losses.
        lengths : Tensor
            SpeechBrain's relative lengths, in (0, 1].

        Returns
        -------
        loss : Tensor
            A scalar, in float32.
        terms : dict of str to Tensor
            Detached: the scalars ``l_low`` and ``l_high``, and
            ``crossover_histogram`` [F], how many valid frames have their
            crossover in each bin.

        Shape
        -----
        student.wav, teacher.wav, clean : [B, L]
        lengths : [B]

        Raises
        ------
        ValueError
            If the shapes differ from these.
        """
        check_same_shape(student.wav, teacher.wav, lengths)
        n_samples = student.wav.shape[1]
        padding = ~sample_mask(lengths, n_samples)
        return self.compare(
            self.stft(student.wav.masked_fill(padding, 0.0)),
            self.stft(teacher.wav.masked_fill(padding, 0.0)),
            self.stft.frame_mask(lengths, n_samples),
        )

    def compare(
        self, student_spec: Tensor, teacher_spec: Tensor, valid: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what ``forward`` does, from spectra.

        Arguments
        ---------
        student_spec : Tensor
            Complex spectrum of the student, complex64 or complex128.
        teacher_spec : Tensor
            Complex spectrum of the teacher.
        valid : Tensor
            Boolean, True for the frames to count.

        Returns
        -------
        tuple of Tensor and dict
            As ``forward`` returns.

        Shape
        -----
        student_spec, teacher_spec : [B, F, T]
        valid : [B, T]
        """
        teacher_spec = teacher_spec.detach()
        teacher_mag = teacher_spec.abs()
        crossover = self.adapter(teacher_mag)
        n_bins = teacher_mag.shape[1]
        low, high = band_masks(crossover, n_bins)
        terms = bin_terms(student_spec, teacher_spec, teacher_mag)
        l_low = _mean(cosine_distance(terms, low, self.eps), valid)
        cosine = cosine_distance(terms, high, self.eps)
        level = magnitude_distance(terms, high)
        l_high = _mean(self.beta * cosine + (1 - self.beta) * level, valid)
        return l_low + l_high, {
            "l_low": l_low.detach(),
            "l_high": l_high.detach(),
            "crossover_histogram": _histogram(crossover, valid, n_bins),
        }


def bin_terms(
    student_spec: Tensor, teacher_spec: Tensor, teacher_mag: Tensor
) -> BinTerms:
    """Return the terms of each bin, once for both bands; all [B, F, T]."""
    student_mag = student_spec.abs()
    return BinTerms(
        dot=(teacher_spec.conj() * student_spec).real,
        student_power=student_mag.square(),
        teacher_power=teacher_mag.square(),
        magnitude_error=(teacher_mag - student_mag).square(),
    )


def cosine_distance(terms: BinTerms, band: Tensor, eps: float) -> Tensor:
    """Return 1 - Re<T, S> / (||T|| ||S||) of each frame [B, T] over a band."""
    student_power = _band_sum(terms.student_power, band)
    teacher_power = _band_sum(terms.teacher_power, band)
    # Below the guard the square root would have an infinite gradient.
    least = eps**2
    student_norm = student_power.clamp_min(least).sqrt()
    teacher_norm = teacher_power.clamp_min(least).sqrt()
    cosine = _band_sum(terms.dot, band) / (student_norm * teacher_norm)
    return (1 - cosine).masked_fill(teacher_power <= least, 0.0)


def magnitude_distance(terms: BinTerms, band: Tensor) -> Tensor:
    """Return the mean of (|T| - |S|)^2 over a band's bins, [B, T]."""
    return _band_sum(terms.magnitude_error, band) / band.sum(1)


def _band_sum(values: Tensor, band: Tensor) -> Tensor:
    """Sum a band's bins; differences of running sums would lose the weaker."""
    return torch.where(band, values, 0.0).sum(1)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid frames of the batch."""
    return values.masked_fill(~valid, 0.0).sum() / valid.sum().clamp_min(1)


def _histogram(crossover: Tensor, valid: Tensor, n_bins: int) -> Tensor:
    """Count the valid frames per crossover bin, [F]; no wait for a GPU."""
    counts = torch.zeros(n_bins, device=crossover.device)
    return counts.scatter_add(0, crossover.flatten(), valid.flatten().float())
