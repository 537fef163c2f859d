"""Recordings get other spectra and bandwidths."""

import numpy as np
import torch

from speechbrain_dfkd.data.mixing import band_limit, random_filter


def test_filter_is_the_published_one():
    coefficients = np.random.default_rng(5).uniform(-3 / 8, 3 / 8, 4)
    impulse = torch.zeros(64)
    impulse[0] = 1
    response = random_filter(impulse, np.random.default_rng(5))
    z = np.exp(-2j * np.pi * np.arange(64) / 64)
    r1, r2, r3, r4 = coefficients
    expected = (1 + r1 * z + r2 * z**2) / (1 + r3 * z + r4 * z**2)
    np.testing.assert_allclose(np.fft.fft(response), expected, atol=1e-5)


def test_band_is_cut_at_random_edges():
    rate, edges = 16000, []
    wav = np.zeros(rate, "float32")
    wav[100] = 1  # all frequencies alike
    for seed in range(40):
        cut = band_limit(wav, np.random.default_rng(seed), rate)
        assert cut.dtype == np.float32 and cut.shape == wav.shape
        gain = np.abs(np.fft.rfft(cut))  # a bin is 1 Hz wide
        (kept,) = np.nonzero(gain > 0.5)
        np.testing.assert_allclose(gain[kept], 1, atol=1e-3)
        assert np.diff(kept).max() == 1
        outside = np.delete(gain, kept)
        assert outside.max() < 1e-3
        edges.append((kept[0], kept[-1]))
    lower, upper = np.transpose(edges)
    assert 20 <= lower.min() < 30 and 110 < lower.max() <= 150
    assert 6500 <= upper.min() < 6700 and 7800 < upper.max() <= 8000
