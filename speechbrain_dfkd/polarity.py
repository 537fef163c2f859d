"""Compares what networks put out with the clean speech: sign and level.

SI-SNR is the same for an output and for any multiple of it, so that a network
from random weights learns the signal or its negative, whichever is nearer, at
any level. An objective of distillation knows the difference, and so does a
supervised loss that fixes the level: a student that is becoming the negative
of its target has their gradients opposed for the whole training [ours].
"""

import math
from collections.abc import Callable, Iterable

import torch
from speechbrain.utils.distributed import ddp_broadcast, if_main_process
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.lengths import sample_mask

# Below this an output holds too little of the speech to tell its level.
NEGLIGIBLE = 0.1


def correlation(wav: Tensor, clean: Tensor, lengths: Tensor) -> Tensor:
    """Return the cosine between waveforms and clean ones, means removed.

    Arguments
    ---------
    wav, clean : Tensor
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
    wav, clean : [B, L]
    lengths : [B]
    output : [B]

    Example
    -------
    >>> wav = torch.tensor([[1.0, -1.0, 7.0]])
    >>> clean = torch.tensor([[-2.0, 2.0, 7.0]])
    >>> correlation(wav, clean, torch.tensor([2 / 3])).round(decimals=4)
    tensor([-1.], dtype=torch.float64)
    """
    wav, clean = (_centred(x, lengths) for x in (wav, clean))
    return torch.cosine_similarity(wav, clean, dim=1, eps=1e-30)


def _centred(wav, lengths):
    # In float64, whose squares hold any level that float32 has.
    mask = sample_mask(lengths, wav.shape[1]).cpu()
    wav = wav.detach().cpu().double().masked_fill(~mask, 0.0)
    mean = wav.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return (wav - mean).masked_fill(~mask, 0.0)


@torch.no_grad()
def mean_correlation(enhance: Callable, batches: Iterable) -> float:
    """Return the mean of ``correlation`` over the items of batches.

    Arguments
    ---------
    enhance : callable
        Takes a batch; returns waveforms, the clean ones and their relative
        lengths.
    batches : iterable
        At least one.

    Returns
    -------
    float
        The same in all processes.
    """
    values = torch.cat([correlation(*enhance(batch)) for batch in batches])
    # That of the first process, where others round differently.
    return ddp_broadcast(values.mean().item())


@torch.no_grad()
def level_of_speech(enhance: Callable, batches: Iterable) -> tuple:
    """Return how, and how loud, the clean speech is in a network's outputs.

    Both are of all batches at once, <w, c> / (|w| |c|) and <w, c> / <c, c>
    for outputs w and clean waveforms c with the mean of each item removed.

    Arguments
    ---------
    enhance, batches
        As for ``mean_correlation``.

    Returns
    -------
    tuple of float
        The correlation, from -1 to 1 and 0 for silence, and the gain, of the
        same sign. The same in all processes.

    Example
    -------
    >>> clean = torch.tensor([[1.0, -1.0]])
    >>> level_of_speech(lambda gain: (gain * clean, clean, torch.ones(1)), [-2])
    (-1.0, -2.0)
    """
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in batches:
        wav, clean, lengths = enhance(batch)
        wav, clean = (_centred(x, lengths) for x in (wav, clean))
        pairs = ((wav, clean), (wav, wav), (clean, clean))
        sums += torch.stack([(x * y).sum() for x, y in pairs])
    both, own, speech = sums.tolist()
    if own == 0 or speech == 0:
        return ddp_broadcast((0.0, 0.0))
    return ddp_broadcast((both / math.sqrt(own * speech), both / speech))


def teacher_scale(correlation: float, gain: float, wanted: bool) -> float:
    """Return what a teacher's output is multiplied by, and print it.

    That is 1 / gain, with which the speech in it has the sign and the level of
    the clean speech.

    Arguments
    ---------
    correlation, gain : float
        What ``level_of_speech`` found.
    wanted : bool
        False: the output stays as it is, and a line says so only where it is
        the negative.

    Raises
    ------
    UserError
        Where the output is not finite.

    Example
    -------
    >>> teacher_scale(-0.9, -4.0, wanted=True)
    teacher: its output has a correlation of -0.9 with the clean speech, which \
is at +12.04 dB in it; it is multiplied by -0.25
    -0.25
    """
    if not (math.isfinite(correlation) and math.isfinite(gain)):
        raise UserError(
            "the teacher's output must be finite, got NaN or infinity for "
            "recordings of the training set; choose another --teacher_ckpt, "
            "or train the teacher anew"
        )
    scale = 1.0
    if abs(correlation) < NEGLIGIBLE:
        done = (
            "it is left as it is, for it holds hardly any speech to tell its "
            "sign and level by; is it the right one, and trained?"
        )
    elif wanted:
        scale = 1 / gain
        done = f"it is multiplied by {scale:.4g}"
    elif correlation > 0:
        return scale
    else:
        done = (
            "it is left as it is, for scale_teacher is False, and pulls the "
            "student to the negative of the speech"
        )
    level = f"{20 * math.log10(abs(gain)):+.2f} dB" if gain else "no level"
    if if_main_process():
        print(
            f"teacher: its output has a correlation of {correlation:.3g} with "
            f"the clean speech, which is at {level} in it; {done}",
            flush=True,
        )
    return scale


def align(
    network: nn.Module, value: float, output: str, wanted: bool = True
) -> None:
    """Negate a network whose correlation with the clean speech is below 0.

    Arguments
    ---------
    network : nn.Module
        Has ``negate()``, after which its output is the negative of what it
        was; one that has none stays as it is, and a line says so.
    value : float
        What ``mean_correlation`` found for it.
    output : str
        Which output that was, for the line.
    wanted : bool
        False: the network stays as it is, and a line says so.
    """
    if not value < 0:
        return
    done = "negated"
    if not wanted:
        done = "left as it is, for align_polarity is False"
    elif hasattr(network, "negate"):
        network.negate()
    else:
        done = (
            "left as it is, for lack of a method negate(); if the training "
            "does badly, give it one, or set supervised_loss to snr_loss"
        )
    if if_main_process():
        print(
            f"polarity: the correlation of {output} with the clean speech is "
            f"{value:.3g}; the network was {done}",
            flush=True,
        )
