"""Where half precision would spoil the result, or fail."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


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


def to_autocast(x: Tensor) -> Tensor:
    """Cast to the type that autocast computes in, where it is on.

    For the input of an LSTM: PyTorch chooses its oneDNN code by the type of
    the input before autocast casts it, and a CPU without bfloat16
    instructions then fails; from a bfloat16 input it chooses code that runs.

    Shape
    -----
    x : any
    output : as x

    Example
    -------
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     to_autocast(torch.ones(2)).dtype
    torch.bfloat16
    """
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)
    if available and torch.is_autocast_enabled(kind):
        return x.to(torch.get_autocast_dtype(kind))
    return x
