"""The references against numbers worked out by hand."""

import math

import numpy as np
import pytest
from dfkd_numpy import (
    cosine_distance,
    crossover,
    dfkd,
    dfkd_frame,
    dfkd_from_spectra,
    si_snr,
    snr,
    stft,
)


def test_stft_of_five_samples():
    # Reflected: 3 2 | 1 2 3 4 5 | 4 3; the window is 0, 1/2, 1, 1/2.
    # Frames: 0 1 1 1 and 0 1 3 2 and 0 2 5 2.
    spec = stft(np.array([1.0, 2, 3, 4, 5]), n_fft=4, hop=2)
    by_hand = np.array([[3, 6, 9], [-1, -3 + 1j, -5], [-1, 0, 1]])
    np.testing.assert_allclose(spec, by_hand, atol=1e-12)


@pytest.mark.parametrize(
    "magnitudes, where",
    [
        ([1, 2, 8], 1),  # slopes 1, 3
        ([1, 3, 4], 0),  # slopes 2, 1/3
        ([4, 1, 2, 6, 6], 2),  # envelope 4 4 4 6 6, slopes 0 0 1/2 0
        ([5, 3, 1], 0),  # falls: all slopes 0
        ([0, 0, 0], 0),
        ([0, 0, 1e-3, 1], 1),  # from nothing is the steepest
    ],
)
def test_crossover(magnitudes, where):
    assert crossover(magnitudes) == where


def test_the_first_of_equal_slopes():
    assert crossover([1, 2, 4, 8], eps=0) == 0  # all slopes 1


def test_cosine_distance():
    assert cosine_distance([1j, 2], [1, 2]) == pytest.approx(1 - 4 / 5)
    assert cosine_distance([-3, -3j], [1, 1j]) == pytest.approx(2)
    assert cosine_distance([0, 0], [1, 2]) == 1
    assert cosine_distance([1, 2], [0, 0]) == 0


def test_two_frames_of_three_bins():
    teacher = np.array([[1, 2, 8], [0, 0, 0]], dtype=complex).T
    student = np.array([[1j, 2, 0], [1, 1, 1]], dtype=complex).T
    # Frame 0, m = 1: low (1, 2) with (j, 2): 1 - 4 / (sqrt(5) sqrt(5));
    # high (2, 8) with (2, 0): cosine 4 / (2 sqrt(68)), errors 0 and 64.
    # Frame 1, silent teacher, m = 0: no cosine, errors 1, 1, 1.
    low, high, where = dfkd_from_spectra([(student, teacher)], beta=0.25)
    cosine = 1 - 1 / math.sqrt(17)
    assert where == [1, 0]
    assert low == pytest.approx((0.2 + 0) / 2)
    assert high == pytest.approx((0.25 * cosine + 0.75 * 32 + 0.75 * 1) / 2)


def test_frames_after_the_end_and_padding_do_not_count():
    rng = np.random.default_rng(0)
    student, teacher = rng.standard_normal((2, 1, 12))
    other = teacher.copy()
    other[:, 5:] = 99.0
    expected = dfkd(student, teacher, [5], n_fft=4, hop=2)
    assert dfkd(student, other, [5], n_fft=4, hop=2) == expected
    assert len(expected[2]) == 3  # centres 0, 2, 4


def test_the_last_bin_is_always_in_the_high_band():
    # m = 1 of 3 bins: only the errors of bins 1 and 2 count, 9 and 16.
    low, high, m = dfkd_frame(
        np.array([9j, 3, 4]), np.array([1e-9, 1e-9, 8.0]), beta=0.0
    )
    assert (low, m) == (0.0, 1)
    assert high == pytest.approx((9 + 16) / 2)


def test_ratios_of_orthogonal_noise():
    target = np.array([1.0, -1, 1, -1])
    noise = np.array([1.0, 1, -1, -1])
    assert si_snr(7 * (target + 0.1 * noise) + 3, target) == pytest.approx(20)
    assert snr(target + 0.1 * noise, target) == pytest.approx(20)
    assert snr(2 * target, target) == pytest.approx(0)
