"""Noises get other spectra."""

import numpy as np
import torch

from speechbrain_dfkd.data.colour import random_filter


def test_filter_is_the_published_one():
    coefficients = np.random.default_rng(5).uniform(-3 / 8, 3 / 8, 4)
    impulse = torch.zeros(64)
    impulse[0] = 1
    response = random_filter(impulse, np.random.default_rng(5))
    z = np.exp(-2j * np.pi * np.arange(64) / 64)
    r1, r2, r3, r4 = coefficients
    expected = (1 + r1 * z + r2 * z**2) / (1 + r3 * z + r4 * z**2)
    np.testing.assert_allclose(np.fft.fft(response), expected, atol=1e-5)
