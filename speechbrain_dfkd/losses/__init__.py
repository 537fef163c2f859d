"""Training objectives: supervised ones, and those that distil a teacher."""

from speechbrain_dfkd.losses.feature import FrameSimilarity
from speechbrain_dfkd.losses.frequency_adaptive import DFKDLoss
from speechbrain_dfkd.losses.kd_loss import KDLoss
from speechbrain_dfkd.losses.response import SpectrumResponse, SubbandResponse
from speechbrain_dfkd.losses.selective import SelectivePatches
from speechbrain_dfkd.losses.supervised import (
    WaveformResponse,
    si_snr,
    si_snr_loss,
    si_snr_spectrum_loss,
    snr,
    snr_loss,
)

__all__ = [
    "DFKDLoss",
    "FrameSimilarity",
    "KDLoss",
    "SelectivePatches",
    "SpectrumResponse",
    "SubbandResponse",
    "WaveformResponse",
    "si_snr",
    "si_snr_loss",
    "si_snr_spectrum_loss",
    "snr",
    "snr_loss",
]
