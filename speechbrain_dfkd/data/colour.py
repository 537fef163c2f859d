"""Other spectra and bandwidths for few recordings."""

import numpy as np
import torchaudio
from torch import Tensor

# Hz: between these lie the edges of a band, drawn on a logarithmic scale below
# and a linear one above.
LOWER_EDGES, UPPER_EDGES = (20.0, 150.0), (6500.0, 8000.0)


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


def band_limit(
    wav: np.ndarray, draw: np.random.Generator, sample_rate: int
) -> np.ndarray:
    """Cut off what lies below and above random edges.

    Recordings of one collection often end at one frequency, because they were
    resampled or coded alike: a network that is trained on speech of one and
    noise of another learns to tell them by that, which fails elsewhere. The
    lower edge is drawn from 20 to 150 Hz, the upper one from 6.5 to 8 kHz; what
    is outside is set to zero.

    Arguments
    ---------
    wav : np.ndarray
        A waveform.
    draw : numpy.random.Generator
        Gives the edges.
    sample_rate : int
        In Hz.

    Shape
    -----
    wav : [L]
    output : [L]
    """
    lower = np.exp(draw.uniform(*np.log(LOWER_EDGES)))
    upper = draw.uniform(*UPPER_EDGES)
    spectrum = np.fft.rfft(wav)
    hertz = np.fft.rfftfreq(len(wav), 1 / sample_rate)
    spectrum[(hertz < lower) | (hertz > upper)] = 0
    return np.fft.irfft(spectrum, len(wav)).astype(wav.dtype)
