"""Supervised losses, and any of them with the teacher for a target."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from speechbrain_dfkd.losses.kd_loss import (
    KDLoss,
    check_same_shape,
    sample_mask,
    widened,
)
from speechbrain_dfkd.losses.response import SpectrumResponse
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT

# Noise this far below the signal (80 dB) is as good as none: without an end,
# the gradient of an almost perfect item would outgrow all others.
CEILING = 1e-8

# Power (-160 dB re full scale) that keeps the ratios of silence defined.
SILENCE = 1e-16


def si_snr(estimate: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio of each item in dB.

    With both signals made zero-mean over their valid samples (Luo and
    Mesgarani, "Conv-TasNet", 2019, equation 15)::

        s = <estimate, target> / ||target||^2 * target,  n = estimate - s
        SI-SNR = 10 log10(||s||^2 / ||n||^2)

    Deviation: 1e-8 of the estimate's power is added above and below, so that
    it stays within +-80 dB and the scale still does not matter. A silent
    target gives -80 dB and a silent estimate 0 dB, both with zero gradient;
    an estimate equal to the target gives 80 dB.

    Arguments
    ---------
    estimate, target : Tensor
        Enhanced and clean waveforms, [B, L].
    lengths : Tensor
        SpeechBrain's relative lengths [B], in (0, 1]; what lies beyond them
        does not matter.

    Shape
    -----
    output : [B], float32 (float64 for float64 input)

    Example
    -------
    >>> target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> noise = torch.tensor([[1.0, 1.0, -1.0, -1.0]])  # orthogonal to it
    >>> value = si_snr(3 * (target + 0.1 * noise), target, torch.ones(1))
    >>> round(value.item(), 3)
    20.0
    """
    check_same_shape(estimate, target, lengths)
    mask = sample_mask(lengths, target.shape[1])
    estimate, target = centred(estimate, mask), centred(target, mask)
    dot = _mean(estimate * target, mask)
    scale = dot / (_mean(target.square(), mask) + SILENCE)
    signal = scale * target
    floor = CEILING * _mean(estimate.square(), mask) + SILENCE
    return _decibels(
        _mean(signal.square(), mask) + floor,
        _mean((estimate - signal).square(), mask) + floor,
    )


def snr(estimate: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Signal-to-noise ratio of each item in dB: a wrong level counts as noise.

    ::

        SNR = 10 log10(||target||^2 / ||estimate - target||^2)

    No mean is removed, as an offset is an error too. Deviation: 1e-8 of the
    target's power is added below, so that it ends at 80 dB, and a power of
    1e-16 on both sides: a silent target then still pulls the estimate to
    silence.

    Arguments and output are those of ``si_snr``.

    Example
    -------
    >>> target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> value = snr(0.9 * target, target, torch.ones(1))  # a tenth is missing
    >>> round(value.item(), 3)
    20.0
    """
    check_same_shape(estimate, target, lengths)
    mask = sample_mask(lengths, target.shape[1])
    estimate, target = _valid(estimate, mask), _valid(target, mask)
    signal = _mean(target.square(), mask)
    noise = _mean((estimate - target).square(), mask)
    return _decibels(signal + SILENCE, noise + CEILING * signal + SILENCE)


def si_snr_loss(
    estimate: Tensor,
    target: Tensor,
    lengths: Tensor,
    ceiling_db: float | None = None,
) -> Tensor:
    """Negative mean over the items of ``si_snr``, in dB.

    With a ceiling ``c``, each value ``v`` becomes
    ``-10 log10(10^(-v / 10) + 10^(-c / 10))``, which never exceeds ``c``:
    items that are almost clean already then leave the gradient to the noisy
    ones (Wisdom et al., "MixIT", 2020, arXiv 2006.12701).

    Arguments
    ---------
    estimate, target, lengths : Tensor
        As in ``si_snr``.
    ceiling_db : float, optional
        The soft ceiling; None: none.

    Example
    -------
    >>> target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> loss = si_snr_loss(target, target, torch.ones(1), ceiling_db=20.0)
    >>> round(loss.item(), 2)
    -20.0
    """
    return _negative_mean(si_snr(estimate, target, lengths), ceiling_db)


def snr_loss(
    estimate: Tensor,
    target: Tensor,
    lengths: Tensor,
    ceiling_db: float | None = None,
) -> Tensor:
    """Negative mean of ``snr`` over the items, in dB; as ``si_snr_loss``."""
    return _negative_mean(snr(estimate, target, lengths), ceiling_db)


def si_snr_spectrum_loss(
    estimate: Tensor,
    target: Tensor,
    lengths: Tensor,
    spectrum_weight: float = 100.0,
    ceiling_db: float | None = None,
) -> Tensor:
    """Negative SI-SNR and the squared error of compressed spectra.

    ::

        L = -SI-SNR [dB] / 10 + spectrum_weight
            * mean of 0.3 abs(S' - T')^2 + 0.7 (|S'| - |T'|)^2

    with S' and T' the spectra of estimate and target, whose magnitudes are
    raised to the power 0.3 (``SpectrumResponse``): the loss that GTCRN
    publishes with its code (Rong et al., ICASSP 2024), with this package's
    STFT. Unlike SI-SNR alone it fixes the level, and hears soft sounds. The
    spectral part decides: on VoiceBank+DEMAND its gradient is 10 to 200 times
    that of the other. A ``kd_weight`` does not carry over from another loss.

    Arguments
    ---------
    estimate, target, lengths : Tensor
        As in ``si_snr``.
    spectrum_weight : float
        Of the spectral error.
    ceiling_db : float, optional
        Of SI-SNR alone: see ``si_snr_loss``.

    Example
    -------
    >>> target = torch.sin(torch.arange(1024.0)).reshape(1, -1)
    >>> loss = si_snr_spectrum_loss(target, target, torch.ones(1))
    >>> round(loss.item(), 2)  # SI-SNR ends at 80 dB
    -8.0
    """
    waveform = si_snr_loss(estimate, target, lengths, ceiling_db)
    response = _spectrum_response(estimate.device)
    wavs = Enhanced(estimate, {}), Enhanced(target, {})
    spectral, _ = response(*wavs, target, lengths)
    return waveform / 10 + spectrum_weight * spectral


@cache
def _spectrum_response(device: torch.device) -> SpectrumResponse:
    """Return it, made once: its window would wait for a GPU."""
    # What inference mode makes could not be trained with later.
    with torch.inference_mode(False):
        return SpectrumResponse(STFT()).to(device)


class WaveformResponse(KDLoss):
    """Any supervised loss, with the teacher's waveform for a target.

    By default the negative SI-SNR, common practice: -80 dB where the student
    equals the teacher.

    Arguments
    ---------
    criterion : callable
        Maps (estimate [B, L], target [B, L], lengths [B]) to a scalar.

    Example
    -------
    >>> loss = WaveformResponse()
    >>> teacher = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> student = teacher + 0.1 * torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    >>> outputs = Enhanced(student, {}), Enhanced(teacher, {})
    >>> value, terms = loss(*outputs, torch.zeros(1, 4), torch.ones(1))
    >>> round(value.item(), 2)  # noise of a tenth: 20 dB
    -20.0
    """

    def __init__(self, criterion: Callable = si_snr_loss):
        super().__init__()
        self.criterion = criterion

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to the teacher's waveform; see ``KDLoss``."""
        loss = self.criterion(student.wav, teacher.wav.detach(), lengths)
        return loss, {"l_waveform": loss.detach()}


def _negative_mean(values: Tensor, ceiling_db: float | None) -> Tensor:
    """Negate the mean of values in dB, bent to stay below a ceiling."""
    if ceiling_db is not None:
        remains = 10 ** (-values / 10) + 10 ** (-ceiling_db / 10)
        values = -10 * remains.log10()
    return -values.mean()


def _valid(wav: Tensor, mask: Tensor) -> Tensor:
    """Silence the padding, in float32 at least; NaN there vanishes too."""
    return widened(wav).masked_fill(~mask, 0.0)


def centred(wav: Tensor, mask: Tensor) -> Tensor:
    """Remove the mean of the valid samples from them."""
    wav = _valid(wav, mask)
    return _valid(wav - _mean(wav, mask), mask)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid samples of values that are zero beyond, [B, 1]."""
    count = mask.sum(1, keepdim=True).clamp_min(1)
    return values.sum(1, keepdim=True) / count


def _decibels(signal: Tensor, noise: Tensor) -> Tensor:
    return 10.0 * (signal / noise).log10().squeeze(1)
