"""Enhancement models: noisy [B, L] at 16 kHz in, ``Enhanced`` out."""

from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.models.conv_tasnet import ConvTasNet
from speechbrain_dfkd.models.dccrn import DCCRN
from speechbrain_dfkd.models.dptnet import DPTNet

__all__ = ["DCCRN", "ConvTasNet", "DPTNet", "Enhanced"]
