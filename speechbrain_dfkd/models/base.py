"""What every network shares: its output, its input, its arguments."""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechbrain_dfkd.errors import require


class Enhanced(NamedTuple):
    """The output of an enhancement model.

    It is a pair, so that ``WaveformEnhancement`` of SpeechBrain, which
    unpacks two values, can run any of our models.

    Arguments
    ---------
    wav : Tensor
        The enhanced waveforms, [B, L].
    features : dict of str to Tensor
        The intermediate features that the caller asked for by name.
    """

    wav: Tensor
    features: dict[str, Tensor]


def keep(x: Tensor, name: str, features: Collection[str], kept: dict) -> Tensor:
    """Return ``x``, and put it into ``kept`` only if its name was asked for."""
    if name in features:
        kept[name] = x
    return x


def check_features(features: Collection[str], names: list[str]) -> None:
    """Refuse names of features that a network does not have."""
    for name in features:
        check_choice("a feature's name", name, names)


def check_waveform(noisy: Tensor) -> None:
    """Refuse what a model cannot enhance, before it turns into NaN."""
    shape, problem = list(noisy.shape), ""
    # While traced, values cannot be read, and elsewhere the host would wait for
    # them; a training looks at its loss.
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if noisy.dim() != 2:
        problem = (
            f"have shape [B, L], got {shape}; add a batch axis: noisy[None]"
        )
    elif not noisy.is_floating_point():
        problem = f"be floating point, got {noisy.dtype}; scale it to [-1, 1]"
    elif not noisy.shape[1]:
        problem = f"have samples, got {shape}; leave it out"
    elif noisy.is_cpu and not tracing and not noisy.isfinite().all():
        bad = (~noisy.isfinite()).any(1).nonzero().flatten().tolist()
        problem = (
            f"be finite, got NaN or infinity in items {bad[:5]} of the batch; "
            "look at the files that they come from"
        )
    if problem:
        raise ValueError(f"noisy must {problem}")


def pad_to_frames(wav: Tensor, frame_length: int, hop_length: int) -> Tensor:
    """Append zeros to waveforms [B, L] to fill whole frames, at least one."""
    missing = frame_length - wav.shape[1]
    return F.pad(wav, (0, max(missing, missing % hop_length)))


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a value that is not among the choices."""
    # Called in forward too: no text is made where nothing is wrong.
    if value not in choices:
        constraint = f"one of {', '.join(choices)}"
        require(name, False, constraint, repr(value), "choose one of these")


def check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1, which are given by name."""
    advice = "the defaults of the model are the published sizes"
    for name, size in sizes.items():
        require(name, size >= 1, "at least 1", size, advice)


def check_even(name: str, size: int) -> None:
    """Refuse an odd length of windows or chunks that overlap by half."""
    advice = "half of it is the step to the next"
    require(name, size % 2 == 0, "even", size, advice)
