"""Where half precision would spoil the result."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off, where the device has it.

    Example
    -------
    >>> ones = torch.ones(2, 2)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     with full_precision(ones.device):
    ...         (ones @ ones).dtype
    torch.float32
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
