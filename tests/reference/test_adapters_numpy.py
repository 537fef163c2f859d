"""The reference adapters against bins worked out by hand."""

import pytest
from adapters_numpy import falling, random_split, rolloff, slope, smoothed


@pytest.mark.parametrize(
    "magnitudes, share, where",
    [
        ([1, 2, 2], 0.1, 0),  # energies 1 5 9 of 9
        ([1, 2, 2], 0.5, 1),
        ([1, 2, 2], 0.9, 1),  # would be 2, but the high band keeps two bins
        ([0, 0, 0], 0.5, 0),
    ],
)
def test_rolloff(magnitudes, share, where):
    assert rolloff(magnitudes, share) == where


@pytest.mark.parametrize(
    "magnitudes, where",
    [
        ([8, 6, 2], 1),  # drops 2/8, 4/6
        ([8, 1, 6, 5], 0),  # envelope 8 6 6 5
        ([8, 8, 1e-9, 1e-20], 1),  # the last drop is below the floor
        ([1, 2, 3], 0),  # never falls
        ([0, 0, 0], 0),
    ],
)
def test_falling(magnitudes, where):
    assert falling(magnitudes, -40) == where


def test_slope():
    assert slope([8, 8, 4, 1, 1], 1, -60) == 2
    # Logs to base 2: 3 3 2 0 0, averages of three 3 8/3 5/3 2/3 0.
    assert slope([8, 8, 4, 1, 1], 3, -60) == 1
    assert slope([8, 8, 1e-3, 1e-9], 1, -20) == 1  # both at the floor
    assert slope([0, 0, 0], 1, -60) == 0


def test_smoothed():
    frames = [[3.0, 0.0], [0.0, 6.0], [3.0, 3.0]]
    assert smoothed(frames, 0, 3) == [1.0, 2.0]
    assert smoothed(frames, 1, 3) == [2.0, 3.0]
    assert smoothed(frames, 1, 1) == [0.0, 6.0]


def test_random_split_depends_on_everything():
    frame = [0.5, 0.25, 1.0] + [0.125] * 254
    seen = {
        random_split(frame, 0),
        random_split(frame, 1),
        random_split(frame[::-1], 0),
        random_split([0.5000001, *frame[1:]], 0),
    }
    assert len(seen) == 4 and all(0 <= m < 256 for m in seen)
