"""What PESQ can hold is told from a reference's length and utterances."""

import ctypes

import numpy as np
import pytest

from speechbrain_dfkd.evaluation import metrics
from speechbrain_dfkd.evaluation.metrics import count_utterances, pesq_excess

RATE = 16000


def beeps(hertz):
    """Five tones of 0.3 s in 3 s."""
    time = np.arange(3 * RATE) / RATE
    return np.sin(2 * np.pi * hertz * time) * (time % 0.6 < 0.3)


def test_each_band_hears_its_own_utterances():
    # The narrow band is that of a telephone, without 150 Hz.
    heard = [
        count_utterances(beeps(hertz), RATE, band)
        for hertz in (150, 1000)
        for band in ("wb", "nb")
    ]
    assert heard == [5, 1, 5, 5]


@pytest.mark.parametrize("level", [1e-30, 1e30])
def test_utterances_are_heard_at_any_level(level):
    assert count_utterances(level * beeps(1000), RATE, "wb") == 5


def test_a_reference_may_last_two_minutes(monkeypatch):
    monkeypatch.setattr(metrics, "count_utterances", lambda *_: 49)
    assert pesq_excess(np.ones(120 * RATE), RATE, "wb") is None
    message = "120.1 s is longer than 120 s, which PESQ holds"
    assert pesq_excess(np.ones(1201 * RATE // 10), RATE, "wb") == message


def test_nineteen_seconds_hold_less_than_fifty_utterances(monkeypatch):
    monkeypatch.setattr(metrics, "count_utterances", lambda *_: 50)
    assert pesq_excess(np.ones(19 * RATE), RATE, "wb") is None
    message = "50 utterances in 19.5 s, PESQ holds fewer than 50"
    assert pesq_excess(np.ones(39 * RATE // 2), RATE, "wb") == message


def test_a_build_that_hides_its_functions_is_named(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda path: None)
    message = (
        "20.0 s is longer than 19 s, and this build of pesq does not tell "
        "whether it holds them"
    )
    assert pesq_excess(np.ones(20 * RATE), RATE, "nb") == message


@pytest.mark.parametrize(("band", "number"), [("nb", 1), ("wb", 2)])
def test_c_functions_get_what_pesq_declares(monkeypatch, band, number):
    class Library:
        def select_rate(self, rate, flag, message):
            assert rate.value == RATE
            self.error = flag, message

        def pesq_measure(self, reference, degraded, info, *error):
            assert error == self.error
            for signal in (reference._obj, degraded._obj):
                assert signal.samples == 3 * RATE
                assert signal.input_filter == number
            assert ctypes.sizeof(info) == 2**20, "room, but not all memory"
            info[0] = 7

    monkeypatch.setattr(ctypes, "CDLL", lambda path: Library())
    assert count_utterances(beeps(1000), RATE, band) == 7
