"""What is computed in full precision under autocast too."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off, where the device has it.

    Arguments
    ---------
    device : torch.device
        Where the computation runs.

    Returns
    -------
    context manager

    Example
    -------
    >>> x = torch.ones(1, 1)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     half = x @ x
    ...     with full_precision(x.device):
    ...         full = x @ x
    >>> half.dtype, full.dtype
    (torch.bfloat16, torch.float32)
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
