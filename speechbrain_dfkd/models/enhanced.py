"""What every enhancement model of this package returns."""

from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor


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
