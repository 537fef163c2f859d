"""What every model of this package asks of its input, and makes of it."""

import torch
from torch import Tensor
from torch.nn import functional as F


def check_waveform(noisy: Tensor):
    """Refuse what a model cannot enhance, before it turns into NaN.

    Values are read only where there are any: neither on the meta device nor
    while ``torch.compile`` or an exporter traces.

    Arguments
    ---------
    noisy : Tensor
        Waveforms.

    Shape
    -----
    noisy : [B, L]

    Raises
    ------
    ValueError
        If ``noisy`` is not a batch of finite floating point waveforms of at
        least one sample.

    Example
    -------
    >>> check_waveform(torch.zeros(2, 400))
    >>> check_waveform(torch.zeros(400))
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
    if not noisy.shape[1]:
        raise ValueError(
            f"noisy must have samples, got {list(noisy.shape)}; leave it out"
        )
    if _has_values(noisy) and not noisy.isfinite().all():
        bad = (~noisy.isfinite()).any(1).nonzero().flatten().tolist()
        raise ValueError(
            f"noisy must be finite, got NaN or infinity in items {bad[:5]} "
            "of the batch; look at the files that they come from"
        )


def pad_to_frames(wav: Tensor, frame_length: int, hop_length: int) -> Tensor:
    """Fill the end of waveforms up with zeros, to whole frames, at least one.

    Arguments
    ---------
    wav : Tensor
        Waveforms.
    frame_length, hop_length : int
        Length of a frame, and the step to the next, in samples.

    Shape
    -----
    wav : [B, L]
    output : [B, frame_length + n * hop_length]

    Example
    -------
    >>> [pad_to_frames(torch.ones(1, n), 4, 2).shape[1] for n in (1, 4, 5)]
    [4, 4, 6]
    """
    missing = frame_length - wav.shape[1]
    return F.pad(wav, (0, max(missing, missing % hop_length)))


def _has_values(x: Tensor) -> bool:
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return not (x.is_meta or tracing)
