"""Starts a student with the polarity of what it is to follow.

SI-SNR is the same for an output and for its negative, so that a network from
random weights learns whichever is nearer. An objective of distillation knows
the difference: to a student that is becoming the negative of its teacher its
gradient opposes that of SI-SNR for the whole training [ours].
"""

from collections.abc import Callable, Iterable

import torch
from speechbrain.utils.distributed import ddp_broadcast, if_main_process
from torch import Tensor, nn

from speechbrain_dfkd.losses.lengths import sample_mask


def correlation(wav: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Return the cosine between each waveform and its target.

    Arguments
    ---------
    wav, target : Tensor
        Waveforms.
    lengths : Tensor
        SpeechBrain's relative lengths, in (0, 1]; what lies beyond them does
        not matter.

    Returns
    -------
    Tensor
        From -1 to 1; 0 where one of the two is silent.

    Shape
    -----
    wav, target : [B, L]
    lengths : [B]
    output : [B]

    Example
    -------
    >>> wav = torch.tensor([[1.0, -1.0, 7.0]])
    >>> target = torch.tensor([[-2.0, 2.0, 7.0]])
    >>> correlation(wav, target, torch.tensor([2 / 3])).round(decimals=4)
    tensor([-1.])
    """
    mask = sample_mask(lengths, target.shape[1])
    wav, target = (x.float().masked_fill(~mask, 0.0) for x in (wav, target))
    return torch.cosine_similarity(wav, target, dim=1)


@torch.no_grad()
def mean_correlation(follow: Callable, batches: Iterable) -> float:
    """Return the mean of ``correlation`` over the items of batches.

    Arguments
    ---------
    follow : callable
        Takes a batch; returns waveforms, their targets and their relative
        lengths.
    batches : iterable
        At least one.

    Returns
    -------
    float
        The same in all processes.
    """
    values = torch.cat([correlation(*follow(batch)) for batch in batches])
    # That of the first process, where others round differently.
    return ddp_broadcast(values.mean().item())


def align(student: nn.Module, value: float) -> None:
    """Negate a student whose correlation with its target is below 0.

    Arguments
    ---------
    student : nn.Module
        Has ``negate()``, after which its output is the negative of what it
        was; one that has none stays as it is, and a line says so.
    value : float
        What ``mean_correlation`` found for it.
    """
    if value >= 0:
        return
    done = "negated"
    if hasattr(student, "negate"):
        student.negate()
    else:
        done = (
            "left as it is, for lack of a method negate(); if the training "
            "does badly, give it one, or set supervised_loss to snr_loss"
        )
    if if_main_process():
        print(
            f"polarity: the correlation of the student's first output with "
            f"what it is to follow is {value:.3g}; the student was {done}",
            flush=True,
        )
