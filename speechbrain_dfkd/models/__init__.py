"""Enhancement models: noisy [B, L] at 16 kHz in, ``Enhanced`` out."""

from speechbrain_dfkd.models.conv_tasnet import ConvTasNet
from speechbrain_dfkd.models.dccrn import DCCRN
from speechbrain_dfkd.models.dptnet import DPTNet
from speechbrain_dfkd.models.enhanced import Enhanced

__all__ = ["DCCRN", "ConvTasNet", "DPTNet", "Enhanced"]
