"""Training objectives: supervised ones, and those that distil a teacher."""

from speechbrain_dfkd.losses.frequency_adaptive import DFKDLoss
from speechbrain_dfkd.losses.si_snr import si_snr, si_snr_loss, snr, snr_loss

__all__ = ["DFKDLoss", "si_snr", "si_snr_loss", "snr", "snr_loss"]
