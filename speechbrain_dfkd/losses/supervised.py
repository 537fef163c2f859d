"""Supervised objectives: the signal-to-noise ratio, blind to level or not."""

import torch
from torch import Tensor

from speechbrain_dfkd.losses.kd_loss import check_same_shape, sample_mask

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
    estimate : Tensor
        Enhanced waveforms.
    target : Tensor
        Clean waveforms.
    lengths : Tensor
        SpeechBrain's relative lengths, in (0, 1]; what lies beyond them does
        not matter.

    Returns
    -------
    Tensor
        One value in dB per item, float32 (float64 for float64 input).

    Shape
    -----
    estimate, target : [B, L]
    lengths : [B]
    output : [B]

    Raises
    ------
    ValueError
        If the shapes differ from these.

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
    estimate, target = _centred(estimate, mask), _centred(target, mask)
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

    Arguments
    ---------
    estimate : Tensor
        Enhanced waveforms.
    target : Tensor
        Clean waveforms.
    lengths : Tensor
        SpeechBrain's relative lengths, in (0, 1]; what lies beyond them does
        not matter.

    Returns
    -------
    Tensor
        One value in dB per item, float32 (float64 for float64 input).

    Shape
    -----
    estimate, target : [B, L]
    lengths : [B]
    output : [B]

    Raises
    ------
    ValueError
        If the shapes differ from these.

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
    items that are almost clean already, of which data sets with short noises
    have many, then leave the gradient to the noisy ones (Wisdom et al.,
    "MixIT", 2020, arXiv 2006.12701).

    Arguments
    ---------
    estimate : Tensor
        Enhanced waveforms, [B, L].
    target : Tensor
        Clean waveforms, [B, L].
    lengths : Tensor
        SpeechBrain's relative lengths, [B].
    ceiling_db : float, optional
        The soft ceiling; None: none.

    Returns
    -------
    Tensor
        A scalar.

    Example
    -------
    >>> target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> loss = si_snr_loss(target, target, torch.ones(1), ceiling_db=20.0)
    >>> round(loss.item(), 2)
    -20.0
    """
    values = si_snr(estimate, target, lengths)
    return -_soft_ceiling(values, ceiling_db).mean()


def snr_loss(
    estimate: Tensor,
    target: Tensor,
    lengths: Tensor,
    ceiling_db: float | None = None,
) -> Tensor:
    """Negative mean over the items of ``snr``, in dB.

    The ceiling is that of ``si_snr_loss``.

    Arguments
    ---------
    estimate : Tensor
        Enhanced waveforms, [B, L].
    target : Tensor
        Clean waveforms, [B, L].
    lengths : Tensor
        SpeechBrain's relative lengths, [B].
    ceiling_db : float, optional
        The soft ceiling; None: none.

    Returns
    -------
    Tensor
        A scalar.

    Example
    -------
    >>> target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> loss = snr_loss(target, target, torch.ones(1), ceiling_db=20.0)
    >>> round(loss.item(), 2)
    -20.0
    """
    values = snr(estimate, target, lengths)
    return -_soft_ceiling(values, ceiling_db).mean()


def _soft_ceiling(values: Tensor, ceiling_db: float | None) -> Tensor:
    """Bend dB values so that they stay below a ceiling."""
    if ceiling_db is None:
        return values
    remains = 10 ** (-values / 10) + 10 ** (-ceiling_db / 10)
    return -10 * remains.log10()


def _valid(wav: Tensor, mask: Tensor) -> Tensor:
    """Silence the padding, in float32 at least; NaN there vanishes too."""
    dtype = torch.promote_types(wav.dtype, torch.float32)
    return wav.to(dtype).masked_fill(~mask, 0.0)


def _centred(wav: Tensor, mask: Tensor) -> Tensor:
    """Remove the mean of the valid samples from them."""
    wav = _valid(wav, mask)
    return _valid(wav - _mean(wav, mask), mask)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid samples of values that are zero beyond, [B, 1]."""
    count = mask.sum(1, keepdim=True).clamp_min(1)
    return values.sum(1, keepdim=True) / count


def _decibels(signal: Tensor, noise: Tensor) -> Tensor:
    return 10.0 * (signal / noise).log10().squeeze(1)
