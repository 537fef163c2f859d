"""What every enhancement model of this package returns."""

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
