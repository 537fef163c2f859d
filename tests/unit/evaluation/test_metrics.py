"""Metrics agree with what is known, and never return a made-up score."""

import ctypes
import subprocess
import sys

import numpy as np
import pesq
import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation.metrics import (
    METRICS,
    UndefinedMetric,
    best_metrics,
    correlation,
    output_gain_db,
    pesq_nb,
    pesq_wb,
    si_sdr,
    stoi,
    validation_metrics,
)

RATE = 16000
BANDS = ("wb", "nb")


def orthogonal_noise(clean, snr_db, seed=1):
    """Noise without mean, orthogonal to clean, at a known level below it."""
    centred = clean.astype(np.float64) - clean.mean()
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    noise -= noise.mean()
    noise -= (noise @ centred) / (centred @ centred) * centred
    gain = np.linalg.norm(centred) / np.linalg.norm(noise)
    return gain * 10 ** (-snr_db / 20) * noise


@pytest.mark.parametrize("snr_db", [-7.0, 0.0, 23.5])
def test_si_sdr_of_orthogonal_noise_is_its_snr(speech, snr_db):
    clean = speech()
    enhanced = clean + orthogonal_noise(clean, snr_db)
    assert si_sdr(clean, enhanced) == pytest.approx(snr_db, abs=1e-6)


@pytest.mark.parametrize("gain, offset", [(1e-3, 0.0), (-40.0, 0.3), (2, -1.0)])
def test_si_sdr_ignores_level_sign_and_mean(speech, gain, offset):
    clean = speech()
    enhanced = clean + orthogonal_noise(clean, 5.0)
    assert si_sdr(clean, gain * enhanced + offset) == pytest.approx(5.0)
    assert si_sdr(gain * clean + offset, enhanced) == pytest.approx(5.0)


@pytest.mark.parametrize("gain, expected", [(0.5, -6.0206), (-10.0, 20.0)])
def test_output_gain_is_the_level_of_the_speech_alone(speech, gain, expected):
    clean = speech()
    noise = orthogonal_noise(clean, 0.0)
    assert output_gain_db(clean, gain * clean) == pytest.approx(expected)
    assert output_gain_db(clean, gain * clean + noise + 0.1) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("gain", [1.0, -1.0, 1500.0, -1e-6])
def test_correlation_has_the_sign_that_no_other_metric_has(speech, gain):
    clean = speech()
    wav = gain * (clean + orthogonal_noise(clean, 20 * np.log10(4 / 3))) + 0.1
    assert correlation(clean, wav) == pytest.approx(np.sign(gain) * 0.8)
    assert correlation(clean, gain * clean) == pytest.approx(np.sign(gain))
    assert abs(correlation(clean, gain * clean)) <= 1


def test_identical_signals_have_the_highest_pesq_and_stoi(speech):
    clean = speech()
    assert pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=1e-3)
    assert stoi(clean, clean, RATE) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("metric", [pesq_wb, stoi])
def test_more_noise_scores_lower_and_clean_is_the_reference(speech, metric):
    clean = speech()
    noisy = [clean + orthogonal_noise(clean, snr) for snr in (20, 10, 0)]
    scores = [metric(clean, enhanced, RATE) for enhanced in noisy]
    assert scores == sorted(scores, reverse=True)
    # Neither metric is symmetric: swapped arguments would be noticed.
    assert metric(noisy[1], clean, RATE) != pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize("metric, band", [(pesq_wb, "wb"), (pesq_nb, "nb")])
def test_pesq_has_the_band_of_its_name(speech, metric, band):
    clean = speech()
    noisy = (clean + orthogonal_noise(clean, 10)).astype("float32")
    expected = {band: pesq.pesq(RATE, clean, noisy, band) for band in BANDS}
    assert abs(expected["wb"] - expected["nb"]) > 0.2
    assert metric(clean, noisy, RATE) == pytest.approx(expected[band], abs=1e-4)


def test_stoi_is_the_classic_measure(speech):
    import pystoi

    clean = speech()
    enhanced = clean + orthogonal_noise(clean, 0)
    expected = pystoi.stoi(clean.astype(float), enhanced.astype(float), RATE)
    assert stoi(clean, enhanced, RATE) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("broken", ["clean", "enhanced"])
@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda signal: 0 * signal, "^{} is silent$"),
        (lambda signal: 0 * signal + 0.25, "^{} is silent$"),
        (lambda signal: signal * np.inf, "^{} has NaN or infinite samples$"),
        (
            lambda signal: np.append(signal[:-1], np.nan),
            "^{} has NaN or infinite",
        ),
        (lambda signal: signal[:-1], "equally long"),
        (lambda signal: signal[None], "1-D"),
    ],
    ids=["zeros", "constant", "inf", "nan", "shorter", "2-D"],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_no_metric_scores_a_broken_signal(
    speech, metric, broken, spoil, reason
):
    signals = {"clean": speech(1.0), "enhanced": speech(1.0, seed=2)}
    signals[broken] = spoil(signals[broken])
    with pytest.raises(UndefinedMetric, match=reason.format(broken)):
        metric(signals["clean"], signals["enhanced"], RATE)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_empty_signals_are_undefined(metric):
    with pytest.raises(UndefinedMetric, match="silent"):
        metric(np.zeros(0), np.zeros(0), RATE)


def test_pesq_below_a_quarter_second_is_undefined(speech):
    clean = speech(1.0)[:3999]
    with pytest.raises(
        UndefinedMetric, match="^0.250 s is shorter than 0.25 s$"
    ):
        pesq_wb(clean, clean, RATE)


def test_pesq_without_utterance_is_undefined(speech):
    # In a reference this steady, PESQ finds no pause and thus no utterance.
    clean = speech()
    with pytest.raises(UndefinedMetric, match="No utterances detected"):
        pesq_wb(clean + orthogonal_noise(clean, 0), clean, RATE)


def bursts(seconds, sound, period):
    """A voice's harmonics for ``sound`` of every ``period`` seconds."""
    time = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 18))
    return 0.1 * voice * (time % period < sound)


@pytest.mark.parametrize("metric", [pesq_wb, pesq_nb])
def test_pesq_gets_no_more_utterances_than_it_holds(metric):
    many = bursts(30, 0.3, 0.6)
    with pytest.raises(
        UndefinedMetric, match="50 utterances in 30.0 s, PESQ holds fewer"
    ):
        metric(many, many, RATE)
    one_less = many[: -RATE // 2]
    assert metric(one_less, one_less, RATE) > 4.5


@pytest.mark.parametrize("metric", [pesq_wb, pesq_nb])
def test_pesq_gets_no_longer_signal_than_it_holds(metric):
    clean = bursts(180, 1, 2)
    with pytest.raises(UndefinedMetric, match="180.0 s is longer than 120 s"):
        metric(clean, clean, RATE)


def test_pesq_that_hides_its_functions_gets_short_signals_only(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda path: None)
    clean = bursts(20, 1, 2)
    assert pesq_wb(clean[: 19 * RATE], clean[: 19 * RATE], RATE) > 4.5
    with pytest.raises(UndefinedMetric, match="20.0 s is longer than 19 s"):
        pesq_wb(clean, clean, RATE)


def test_a_quarter_second_is_enough_for_pesq(speech, monkeypatch):
    monkeypatch.setattr(pesq, "pesq", lambda *_: 2.5)
    assert pesq_wb(speech()[:4000], speech()[:4000], RATE) == 2.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_that_is_no_number_is_undefined(speech, monkeypatch, value):
    monkeypatch.setattr(pesq, "pesq", lambda *_: value)
    with pytest.raises(UndefinedMetric, match=f"^the result is {value}$"):
        pesq_wb(speech(), speech(), RATE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (pesq.PesqError(), "PesqError"),
        (pesq.NoUtterancesError(b"No utterances"), "No utterances"),
        (pesq.PesqError("Unknown"), "Unknown"),
    ],
)
def test_the_reason_is_pesqs_own(speech, monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(pesq, "pesq", fail)
    with pytest.raises(UndefinedMetric, match=f"^{reason}$"):
        pesq_wb(speech(), speech(), RATE)


def test_validation_scores_all_but_the_narrow_band():
    functions = {
        name: metric.function for name, metric in validation_metrics().items()
    }
    assert functions == {
        "pesq_wb": pesq_wb,
        "stoi": stoi,
        "si_sdr": si_sdr,
        "gain_db": output_gain_db,
        "correlation": correlation,
    }
    assert METRICS["pesq_nb"].function is pesq_nb
    assert {*METRICS} == {"pesq_nb", *functions}


def test_level_and_polarity_choose_no_epoch():
    assert best_metrics() == ["pesq_wb", "stoi", "si_sdr"]


def test_pesq_without_memory_says_so(speech, monkeypatch):
    def fail(*_):
        raise pesq.OutOfMemoryError(b"Unable to allocate")

    monkeypatch.setattr(pesq, "pesq", fail)
    with pytest.raises(MemoryError, match="Unable to allocate"):
        pesq_wb(speech(), speech(), RATE)


def test_pesq_refuses_another_sample_rate(speech):
    with pytest.raises(UserError, match="16000 Hz.*got 8000"):
        pesq_wb(speech(), speech(), 8000)


@pytest.mark.parametrize("samples", [1, 100, 409, 6348, 6400, 6500])
def test_stoi_of_too_short_signals_is_undefined(samples):
    noise = np.random.default_rng(0).standard_normal(samples + 1)
    with pytest.raises(UndefinedMetric, match="shorter than|fewer than"):
        stoi(noise, noise, RATE)


def test_stoi_of_long_silence_and_little_speech_is_undefined():
    clean = np.zeros(3 * RATE)
    clean[:4000] = np.random.default_rng(0).standard_normal(4000)
    reason = "^fewer than 30 frames of speech without silence$"
    with pytest.raises(UndefinedMetric, match=reason):
        stoi(clean, clean, RATE)


ALL_OF_IT = "^infinite: enhanced is clean, up to its level$"
NOTHING_OF_IT = "^minus infinite: enhanced holds nothing of clean$"


def test_infinite_ratios_are_undefined(speech):
    clean = speech()
    nothing_of_it = orthogonal_noise(clean, 0.0)
    with pytest.raises(UndefinedMetric, match=ALL_OF_IT):
        si_sdr(clean, 0.3 * clean)
    for metric in (si_sdr, output_gain_db):
        with pytest.raises(UndefinedMetric, match=NOTHING_OF_IT):
            metric(clean, nothing_of_it)


def test_ratios_are_defined_down_to_the_resolution_of_float32():
    step = 2.0**-23
    clean = 8 * np.array([1.0, -1.0, 1.0, -1.0])
    noise = 8 * np.array([1.0, 1.0, -1.0, -1.0])
    for factor in (step, 2 * step):
        one_of_many = clean + factor * noise, factor * clean + noise
        for enhanced, reason, sign in zip(
            one_of_many, (ALL_OF_IT, NOTHING_OF_IT), (-1, 1), strict=True
        ):
            if factor == step:
                with pytest.raises(UndefinedMetric, match=reason):
                    si_sdr(clean, enhanced)
            else:
                ratio = sign * 20 * np.log10(factor)
                assert si_sdr(clean, enhanced) == pytest.approx(ratio)
    assert output_gain_db(clean, 2 * step * clean + noise) == pytest.approx(
        20 * np.log10(2 * step)
    )


@pytest.mark.parametrize("gain", [0.7, -0.7])
def test_correlation_is_no_more_than_one_by_rounding(gain):
    # Without a limit it is 1 + 2e-16 for these.
    clean = np.random.default_rng(0).standard_normal(3)
    assert correlation(clean, gain * clean) == np.sign(gain)


@pytest.mark.parametrize("metric", [si_sdr, output_gain_db, correlation])
def test_audio_of_float32_is_measured_in_float64(speech, metric):
    clean, noise = speech(), speech(seed=2)
    for enhanced in (noise, clean + noise):
        exact = metric(clean.astype("f8"), enhanced.astype("f8"))
        assert metric(clean, enhanced) == exact
        assert metric(clean.astype("f8"), enhanced) == exact


def test_workers_need_not_load_torch():
    code = (
        "import sys, speechbrain_dfkd.evaluation.scoring; "
        "sys.exit('torch' in sys.modules or 'speechbrain' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
