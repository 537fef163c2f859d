"""Enhancement models: noisy [B, L] at 16 kHz in, ``Enhanced`` out."""

from .dccrn import DCCRN
from .enhanced import Enhanced

__all__ = ["DCCRN", "Enhanced"]
