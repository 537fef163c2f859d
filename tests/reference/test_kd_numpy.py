"""The reference objectives against numbers worked out by hand."""

import numpy as np
import pytest
from kd_numpy import (
    common_frames,
    compressed_error,
    cut_spectrum,
    dispatch_band,
    energy_weights,
    frame_similarity,
    high_error,
    low_error,
    similarity,
    spectrum_response,
)


def test_cut_spectrum_counts_centres_before_the_end():
    assert cut_spectrum(np.ones(12), 5, n_fft=4, hop=2).shape == (3, 3)


def test_compressed_error():
    # |9j|^0.5 = 3 and |-16j|^0.5 = 4, in opposite directions.
    assert compressed_error(9j, -16j, 0.5, 0.0) == pytest.approx(1)
    assert compressed_error(9j, -16j, 0.5, 1.0) == pytest.approx(49)
    assert compressed_error(9j, -16j, 0.5, 0.25) == pytest.approx(13)
    assert compressed_error(2, 5, 1.0, 0.5) == pytest.approx(9)


def test_spectrum_response_of_two_items():
    zeros, ones = np.zeros((3, 1)), np.ones((3, 1))
    graded = np.array([[1.0], [2.0], [3.0]])
    pairs = [(zeros, graded), (zeros, ones)]
    # Squares 1 4 9 and 1 1 1; |0| counts as 1e-4.
    assert spectrum_response(pairs, 1.0, 1.0) == pytest.approx([17 / 6])
    assert spectrum_response(pairs, 1.0, 1.0, [1]) == pytest.approx(
        [1, (6.5 + 1) / 2]
    )


def test_energy_weights():
    teacher = np.array([[3.0, 0.0], [4j, 5.0 / 3]])  # norms 5 and 5/3
    assert energy_weights(teacher, 0.5) == pytest.approx([1.5, 0.5])
    assert energy_weights(teacher, 0) == [1, 1]


def test_errors_of_bins():
    assert low_error([1j, 2], [1, 2]) == pytest.approx(0.2)
    assert high_error([0, 2], [4, 2], beta=0.0) == pytest.approx(8)


def test_dispatch_keeps_the_largest_gaps():
    # Two frames of two bins, patches of one bin, the whole spectrum.
    clean = np.zeros((2, 2))
    student = np.array([[4.0, 1.0], [3.0, 2.0]])
    teacher = np.array([[1.0, 2.0], [2.0, 1.0]])

    def error(a, b):
        return sum(abs(a - b) ** 2)

    # Gaps 16-1, 9-4, 1-4, 4-1; errors to the teacher 9, 1, 1, 1.
    items = [(student, teacher, clean)]
    arguments = items, lambda f, m: True, error, 1
    assert dispatch_band(*arguments, 0.25) == 9
    assert dispatch_band(*arguments, 0.5) == (9 + 1) / 2
    assert dispatch_band(*arguments, 0.01) == 9
    assert dispatch_band(*arguments, None) == pytest.approx((9 + 1 + 1) / 3)
    assert dispatch_band(*arguments, 1.0) == (9 + 1 + 1 + 1) / 4


def test_dispatch_leaves_out_bins_of_the_other_band():
    # Crossover 0 (4 rises to 8): bin 1 alone is above it.
    triple = (
        np.array([[0.0], [3.0]]),
        np.array([[4.0], [8.0]]),
        np.zeros((2, 1)),
    )

    def error(a, b):
        return sum(abs(a - b))

    value = dispatch_band([triple], lambda f, m: f > m, error, 2, 1.0)
    assert value == 5


def test_common_frames():
    feature = np.array([[1.0, 3.0, 5.0, 9.0]])
    assert common_frames(feature, 2).ravel().tolist() == [2, 7]
    assert common_frames(feature[:, :3], 2).ravel().tolist() == [2, 4]


def test_similarity_of_frames():
    found = similarity(np.array([[3.0, 0.0], [1.0, 1.0], [0.0, -2.0]]))
    half = 0.5**0.5
    by_hand = [[1, half, 0], [half, 1, -half], [0, -half, 1]]
    np.testing.assert_allclose(found, by_hand, atol=1e-12)


def test_frame_similarity_of_two_items():
    same, apart = np.ones((3, 2)), np.eye(2)
    pairs = [(same, apart), (apart, apart)]
    # [1 1; 1 1] against [1 0; 0 1], then no difference: 2 of 8.
    assert frame_similarity(pairs, [2, 2]) == pytest.approx(2 / 8)
