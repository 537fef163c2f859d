"""What every network shares: its output, its input, its arguments."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Enhanced(NamedTuple):
    """The output of an enhancement model.

    It is a pair, so that ``WaveformEnhancement`` of SpeechBrain, which
    unpacks two values, can run any of our models.

    Arguments
    ---------
    wav : Tensor
        The enhanced waveforms.
    features : dict of str to Tensor
        The intermediate features that the caller asked for by name.

    Shape
    -----
    wav : [B, L]
    """

    wav: Tensor
    features: dict


def keep(x: Tensor, name: str, features: Collection[str], kept: dict) -> Tensor:
    """Pass ``x`` on, and hold it only if its name was asked for.

    Arguments
    ---------
    x : Tensor
        A feature.
    name : str
        Its name.
    features : collection of str
        The names asked for.
    kept : dict of str to Tensor
        Where it is held.

    Returns
    -------
    Tensor
        ``x`` itself.

    Example
    -------
    >>> import torch
    >>> kept = {}
    >>> keep(torch.ones(1), "encoder", ["mask"], kept)
    tensor([1.])
    >>> kept
    {}
    """
    if name in features:
        kept[name] = x
    return x


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


def check_choice(name: str, value: str, choices: Collection[str]):
    """Refuse a value that is not among the choices.

    Arguments
    ---------
    name : str
        What the message calls the value.
    value : str
        What was given.
    choices : collection of str
        What is allowed.

    Raises
    ------
    ValueError
        If ``value`` is not in ``choices``.

    Example
    -------
    >>> check_choice("mask", "relu", ("sigmoid", "relu"))
    >>> check_choice("mask", "tanh", ("sigmoid", "relu"))
    Traceback (most recent call last):
    ValueError: mask must be one of sigmoid, relu, got 'tanh'; see the \
docstring of the model
    """
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}; "
            "see the docstring of the model"
        )


def check_sizes(sizes: Mapping[str, int]):
    """Refuse sizes below 1.

    Arguments
    ---------
    sizes : mapping of str to int
        Sizes under the names that the message calls them by.

    Raises
    ------
    ValueError
        If a size is below 1.

    Example
    -------
    >>> check_sizes({"blocks": 8, "repeats": 0})
    Traceback (most recent call last):
    ValueError: repeats must be at least 1, got 0; the defaults of the \
model are the published sizes
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"{name} must be at least 1, got {size}; "
                "the defaults of the model are the published sizes"
            )


def check_even(name: str, size: int):
    """Refuse a size that cannot be halved.

    Arguments
    ---------
    name : str
        What the message calls the size.
    size : int
        The length of windows or chunks that overlap by half.

    Raises
    ------
    ValueError
        If ``size`` is odd.

    Example
    -------
    >>> check_even("filter_length", 32)
    >>> check_even("filter_length", 33)
    Traceback (most recent call last):
    ValueError: filter_length must be even, got 33; half of it is the step \
to the next
    """
    if size % 2:
        raise ValueError(
            f"{name} must be even, got {size}; half of it is the step to "
            "the next"
        )
