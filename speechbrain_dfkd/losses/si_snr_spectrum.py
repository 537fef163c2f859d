"""A stronger supervised objective: the waveform and the spectrum together."""

from functools import cache

import torch
from torch import Tensor

from speechbrain_dfkd.losses.response import SpectrumResponse
from speechbrain_dfkd.losses.supervised import si_snr_loss
from speechbrain_dfkd.stft import STFT


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
    raised to the power 0.3 (``compressed_error``): the loss that GTCRN
    publishes with its code (Rong et al., ICASSP 2024), with this package's
    STFT. Unlike SI-SNR alone it fixes the level, and hears soft sounds. The
    spectral part decides: on VoiceBank+DEMAND its gradient is 10 to 200 times
    that of the other. A ``kd_weight`` does not carry over from another loss.

    Arguments
    ---------
    estimate : Tensor
        Enhanced waveforms, [B, L].
    target : Tensor
        Clean waveforms, [B, L].
    lengths : Tensor
        SpeechBrain's relative lengths, [B].
    spectrum_weight : float
        Of the spectral error.
    ceiling_db : float, optional
        Of SI-SNR alone: see ``si_snr_loss``.

    Returns
    -------
    Tensor
        A scalar.

    Example
    -------
    >>> target = torch.sin(torch.arange(1024.0)).reshape(1, -1)
    >>> loss = si_snr_spectrum_loss(target, target, torch.ones(1))
    >>> round(loss.item(), 2)  # SI-SNR ends at 80 dB
    -8.0
    """
    spectral = _spectral(estimate.device)
    *specs, valid = spectral.spectra([estimate, target], lengths)
    error, _ = spectral.compare(*specs, valid)
    waveform = si_snr_loss(estimate, target, lengths, ceiling_db)
    return waveform / 10 + spectrum_weight * error


@cache
def _spectral(device: torch.device) -> SpectrumResponse:
    """Return the spectral part, once: its window would wait for a GPU."""
    # What inference mode makes could not be trained with later.
    with torch.inference_mode(False):
        return SpectrumResponse(STFT()).to(device)
