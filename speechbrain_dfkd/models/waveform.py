"""What every model of this package asks of its input."""

import torch
from torch import Tensor


def check_waveform(noisy: Tensor, min_length: int):
    """Refuse what a model cannot enhance, before it turns into NaN.

    Values are read only where there are any: neither on the meta device nor
    while ``torch.compile`` or an exporter traces.

    Arguments
    ---------
    noisy : Tensor
        Waveforms.
    min_length : int
        The shortest length that the model takes, in samples.

    Shape
    -----
    noisy : [B, L]

    Raises
    ------
    ValueError
        If ``noisy`` is not a batch of finite floating point waveforms of at
        least ``min_length`` samples.

    Example
    -------
    >>> check_waveform(torch.zeros(2, 400), min_length=400)
    >>> check_waveform(torch.zeros(400), min_length=400)
    Traceback (most recent call last):
    ValueError: noisy must have shape [B, L], got [400]; add a batch axis \
with noisy[None]
    """
    if noisy.dim() != 2:
        raise ValueError(
            f"noisy must have shape [B, L], got {list(noisy.shape)}; "
            "add a batch axis with noisy[None]"
        )
    if not noisy.is_floating_point():
        raise ValueError(
            f"noisy must be floating point, got {noisy.dtype}; "
            "scale integers to [-1, 1] as float32"
        )
    if noisy.shape[1] < min_length:
        raise ValueError(
            f"noisy must have at least {min_length} samples (one window), "
            f"got {noisy.shape[1]}; pad it or leave it out"
        )
    if _has_values(noisy) and not noisy.isfinite().all():
        bad = (~noisy.isfinite()).any(1).nonzero().flatten().tolist()
        raise ValueError(
            f"noisy must be finite, got NaN or infinity in items {bad[:5]} "
            "of the batch; look at the files that they come from"
        )


def _has_values(x: Tensor) -> bool:
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return not (x.is_meta or tracing)
