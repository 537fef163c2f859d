"""Levels and ratios of waveforms in dB, for arrays and tensors alike."""

import math


def rms(wav) -> float:
    """Return the root of the mean square of a waveform [L]."""
    return math.sqrt(float(wav @ wav) / len(wav))


def from_db(level_db: float) -> float:
    """Return the ratio of amplitudes that a level in dB means."""
    return 10 ** (level_db / 20)


def mix(speech, noise, snr_db: float):
    """Return speech plus noise at a signal-to-noise ratio.

    Speech keeps its level.

    Arguments
    ---------
    speech, noise : np.ndarray or Tensor
        Waveforms of equal length, neither of them silent.
    snr_db : float
        Ratio of their mean powers, in dB.

    Shape
    -----
    speech, noise : [L]
    output : [L]

    Example
    -------
    >>> import numpy as np
    >>> mix(np.array([2.0, -2.0]), np.array([1.0, 1.0]), 20.0).tolist()
    [2.2, -1.8]
    """
    return speech + noise * (rms(speech) / rms(noise) * from_db(-snr_db))


def is_range_db(values) -> bool:
    """Tell whether a setting is ``[least, most]``, in dB.

    Example
    -------
    >>> is_range_db([-5, 15.0]), is_range_db([15, -5]), is_range_db(5)
    (True, False, False)
    """
    return (
        isinstance(values, list | tuple)
        and len(values) == 2
        and all(isinstance(value, int | float) for value in values)
        and -math.inf < values[0] <= values[1] < math.inf
    )
