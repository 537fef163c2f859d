"""Other spectra for few noises."""

import numpy as np
import torchaudio
from torch import Tensor


def random_filter(wav: Tensor, draw: np.random.Generator) -> Tensor:
    """Change the spectrum of a waveform smoothly and at random.

    ``(1 + r1 z^-1 + r2 z^-2) / (1 + r3 z^-1 + r4 z^-2)`` with each r uniform
    in +-3/8, the filter of Valin, A Hybrid DSP/Deep Learning Approach to
    Real-Time Full-Band Speech Enhancement, MMSP 2018, arXiv 1709.08243. It is
    always stable.

    Arguments
    ---------
    wav : Tensor
        A waveform.
    draw : numpy.random.Generator
        Gives the four coefficients.

    Shape
    -----
    wav : [L]
    output : [L]
    """
    r1, r2, r3, r4 = draw.uniform(-3 / 8, 3 / 8, 4).tolist()
    poles, zeros = wav.new_tensor([1, r3, r4]), wav.new_tensor([1, r1, r2])
    return torchaudio.functional.lfilter(wav, poles, zeros, clamp=False)
