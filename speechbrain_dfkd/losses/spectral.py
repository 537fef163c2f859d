"""Distances of spectra, in patches and bands."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.kd_loss import (
    KDLoss,
    check_same_shape,
    sample_mask,
)
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT


class Spectrum(NamedTuple):
    """A complex spectrum [B, F, T] with its magnitude, computed once."""

    spec: Tensor
    mag: Tensor

    @classmethod
    def of(cls, spec: Tensor) -> "Spectrum":
        """Compute the magnitude."""
        return cls(spec, spec.abs())


class Band(NamedTuple):
    """Some bins of each frame, and how their error is measured.

    ``mask`` is 1 in the bins of the band and 0 elsewhere, [B, F, T]; B and T
    may be 1. ``error`` maps (what ``bin_terms`` returned, mask, patch_bins) to
    the error of each patch, [B, P, T].
    """

    mask: Tensor  # a product takes a third of the time of a selection
    error: Callable


# The bands by the names of their terms, and more to log.
Split = tuple[dict[str, Band], dict[str, Tensor]]


def patch_sum(values: Tensor, mask: Tensor, patch_bins: int) -> Tensor:
    """Sum over the bins of a band that lie in each patch.

    A patch is ``patch_bins`` high; the topmost may be cut by the spectrum's
    end. Not by differences of running sums, which would lose weaker bins.

    Shape
    -----
    values, mask : [B, F, T], broadcast
    output : [B, P, T], P = ceil(F / patch_bins)
    """
    kept = values * mask
    n_bins = kept.shape[1]
    topmost = n_bins % patch_bins
    # Padding to whole patches would copy all bins to fill up a few.
    whole = kept[:, : n_bins - topmost].unflatten(1, (-1, patch_bins)).sum(2)
    if not topmost:
        return whole
    rest = kept[:, n_bins - topmost :].sum(1, keepdim=True)
    return torch.cat([whole, rest], dim=1)


def patch_mean(values: Tensor, mask: Tensor, patch_bins: int) -> Tensor:
    """Mean over the band's own bins of each patch; as ``patch_sum``."""
    count = patch_sum(mask, mask, patch_bins).clamp_min(1)
    return patch_sum(values, mask, patch_bins) / count


def weighted_mean(errors: Tensor, weights: Tensor) -> Tensor:
    """Return sum(weights * errors) / sum(weights), 0 without any weight.

    Errors of weight 0 are not looked at, even if they are not finite.

    Shape
    -----
    errors, weights : [B, P, T] and [B, P or 1, T]
    """
    weights = weights.expand_as(errors)
    errors = errors.masked_fill(weights == 0, 0.0)
    return (weights * errors).sum() / weights.sum().clamp_min(1e-20)


# Power (-80 dB) below which a bin is not compressed further. It is below the
# noise of 16 bits, and bounds the gradient of a bin that is zero.
COMPRESSION_FLOOR = 1e-8


def compressed_error(
    estimate: Spectrum,
    target: Spectrum,
    compression: float,
    complex_share: float,
) -> Tensor:
    """Return the squared error of compressed spectra in each bin.

    With S and T the spectra, c the ``compression`` and a the
    ``complex_share``::

        a abs(|S|^c exp(i angle S) - |T|^c exp(i angle T))^2
            + (1 - a) (|S|^c - |T|^c)^2

    where |.|^2 stands for ``|.|^2 + 1e-8`` (-80 dB).
    """
    ours, ours_mag = _compress(estimate, compression)
    theirs, theirs_mag = _compress(target, compression)
    difference = torch.view_as_real(ours - theirs).square().sum(-1)
    level = (ours_mag - theirs_mag).square()
    return complex_share * difference + (1 - complex_share) * level


def _compress(spectrum: Spectrum, exponent: float) -> tuple[Tensor, Tensor]:
    """Return |S|^c exp(i angle S) and |S|^c."""
    power = spectrum.mag.square() + COMPRESSION_FLOOR
    gain = power ** ((exponent - 1) / 2)
    return spectrum.spec * gain, power.sqrt() * gain


def sum_bands(
    bands: dict[str, Band], bins: object, patches: dict[str, tuple[int, Tensor]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sum of the bands' mean errors, and each of these to log."""
    losses = {}
    for name, (mask, error) in bands.items():
        height, weights = patches[name]  # of the patches in this band
        losses[name] = weighted_mean(error(bins, mask, height), weights)
    terms = {name: loss.detach() for name, loss in losses.items()}
    return sum(losses.values()), terms


# A teacher quieter than this (-60 dB re full scale) is not made louder.
QUIETEST = 1e-3


class SpectralLoss(KDLoss):
    """Base of objectives that compare spectra of student and teacher.

    A patch is ``patch_bins`` neighbouring bins of one frame. The loss takes
    all bins of a frame for one patch::

        L = sum over bands of
            sum_t w[t] error[t] / sum_t w[t] over the frames of the batch

    while ``SelectivePatches`` takes smaller ones and leaves some out. Frames
    count that are centred inside their utterance; what lies beyond the
    utterance is set to zero first, as half a window of it reaches the last
    frames. By default ``w`` is 1.

    A subclass defines ``split`` and ``bin_terms``.

    Arguments
    ---------
    stft : STFT
        The transform.
    energy_exponent : float
        p in w[t] = E[t]^p, relative to its mean over the utterance, with E
        the energy of the teacher's frame: 0 weighs all frames alike, 0.5 by
        magnitude, 1 by energy.
    relative_level : bool
        Whether the waveforms are divided by the teacher's root mean square
        over the utterance (at least 1e-3), so that the loss does not depend
        on the scale of the recordings.
    """

    def __init__(
        self,
        stft: STFT,
        energy_exponent: float = 0.0,
        relative_level: bool = False,
    ):
        super().__init__()
        if not energy_exponent >= 0:
            raise UserError(
                f"energy_exponent must be at least 0, got {energy_exponent}; "
                f"0 weighs all frames alike"
            )
        self.stft = stft
        self.energy_exponent = energy_exponent
        self.relative_level = relative_level

    def split(self, teacher_mag: Tensor, valid: Tensor) -> Split:
        """Return the bands by the names of their terms, and more to log.

        Shape
        -----
        teacher_mag : [B, F, T]
        valid : [B, T], True for the frames to count
        """
        raise NotImplementedError(f"{type(self).__name__} must define split")

    def bin_terms(self, estimate: Spectrum, target: Spectrum):
        """Return what the bands' errors need of each bin, once for all."""
        name = type(self).__name__
        raise NotImplementedError(f"{name} must define bin_terms")

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms, one a band; see ``KDLoss``."""
        return self.compare(*self.spectra([student.wav, teacher.wav], lengths))

    def spectra(self, wavs: Sequence[Tensor], lengths: Tensor) -> list[Tensor]:
        """Return the complex spectra of waveforms, then the valid frames.

        Shape
        -----
        wavs : [B, L] each, the student's, the teacher's and others
        output : [B, F, T] each, the last [B, T], True for frames to count
        """
        for wav in wavs:
            check_same_shape(wavs[0], wav, lengths)
        n_samples = wavs[0].shape[1]
        inside = sample_mask(lengths, n_samples)
        wavs = [wav.masked_fill(~inside, 0.0) for wav in wavs]
        if self.relative_level:
            count = inside.sum(1, keepdim=True).clamp_min(1)
            energy = wavs[1].detach().float().square().sum(1, keepdim=True)
            level = (energy / count).sqrt().clamp_min(QUIETEST)
            wavs = [wav / level for wav in wavs]
        frames = self.stft.frame_mask(lengths, n_samples)
        return [*map(self.stft, wavs), frames]

    def compare(
        self, student_spec: Tensor, teacher_spec: Tensor, valid: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what ``forward`` does, from what ``spectra`` returns."""
        teacher = Spectrum.of(teacher_spec.detach())
        bands, logged = self.split(teacher.mag, valid)
        weights = self.frame_weights(teacher.mag, valid)
        whole_frames = dict.fromkeys(bands, (teacher.mag.shape[1], weights))
        bins = self.bin_terms(Spectrum.of(student_spec), teacher)
        loss, terms = sum_bands(bands, bins, whole_frames)
        return loss, {**terms, **logged}

    def frame_weights(self, teacher_mag: Tensor, valid: Tensor) -> Tensor:
        """Return how much each frame counts, [B, 1, T]; see the class."""
        if self.energy_exponent == 0:
            return valid[:, None].float()
        energy = teacher_mag.square().sum(1)
        weights = (energy**self.energy_exponent).masked_fill(~valid, 0.0)
        count = valid.sum(1, keepdim=True).clamp_min(1)
        mean = weights.sum(1, keepdim=True) / count
        return (weights / mean.masked_fill(mean == 0, 1.0))[:, None]
