"""The demo corpus's noises have the spectra that their names promise."""

import numpy as np
import pytest
from scipy.signal import welch

from speechbrain_dfkd.demo_corpus import noise
from speechbrain_dfkd.demo_corpus.corpus import mix

ALL_KINDS = [kind for kinds in noise.KINDS.values() for kind in kinds.items()]


@pytest.fixture(name="talkers")
def fixture_talkers():
    """Four stand-ins for speech: noise bands around 500 Hz, in bursts."""
    rng = np.random.default_rng(0)
    gain = np.r_[np.zeros(4), np.ones(2), np.zeros(58)]
    burst = np.repeat(rng.random(40), 1600)
    return [burst * noise.filtered(gain, 64000, rng) for _ in range(4)]


def _power(wav, low, high):
    frequency, power = welch(wav, noise.RATE, nperseg=2048)
    return power[(frequency >= low) & (frequency < high)].sum()


@pytest.mark.parametrize("length", [8000, 8001, 30011])
@pytest.mark.parametrize("name, kind", ALL_KINDS)
def test_every_noise_sounds_for_its_whole_length(name, kind, length, talkers):
    wav = kind(length, talkers, np.random.default_rng(1))
    assert wav.shape == (length,)
    assert np.isfinite(wav).all()
    for half in np.array_split(wav, 2):
        assert half.std() > 0.01 * wav.std() > 0


@pytest.mark.parametrize("name, kind", ALL_KINDS)
def test_noise_is_a_function_of_its_generator(name, kind, talkers):
    one, same, other = (
        kind(8000, talkers, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    correlation = np.corrcoef(one, other)[0, 1]
    assert abs(correlation) < 0.9


@pytest.mark.parametrize("slope_db", [0, -3, -6, -9])
def test_coloured_noise_has_its_slope(slope_db):
    rng = np.random.default_rng(0)
    wav = noise.coloured(160000, [], rng, slope_db=slope_db)
    # An octave higher is twice as wide: +3 dB for the same density.
    octave = 10 * np.log10(_power(wav, 1000, 2000) / _power(wav, 500, 1000))
    assert octave == pytest.approx(slope_db + 3.01, abs=0.4)


@pytest.mark.parametrize("make", [noise.speech_shaped, noise.babble])
def test_noise_made_of_speech_has_its_spectrum(make, talkers):
    wav = make(64000, talkers, np.random.default_rng(0))
    assert _power(wav, 400, 800) > 0.9 * _power(wav, 0, 8001)


def test_hum_has_lines_at_the_mains_harmonics():
    for mains in (50, 60):
        wav = noise.hum(160000, [], np.random.default_rng(0), mains_hz=mains)
        power = np.abs(np.fft.rfft(wav)) ** 2
        line = 10 * np.argmax(power) / 100 / mains
        assert line == pytest.approx(round(line), abs=0.06)


def test_test_split_has_noises_of_its_own():
    own = noise.KINDS["test"].keys() - noise.KINDS["train"].keys()
    assert {"sweeps", "gusts"} <= own


@pytest.mark.parametrize("snr_db", [0, 5, 10, 15])
def test_mixture_has_its_snr_and_level(snr_db):
    rng = np.random.default_rng(0)
    speech, sound = rng.standard_normal((2, 16000))
    clean, noisy = mix(7 * speech, 0.3 * sound, snr_db, level_db=-25)
    assert 20 * np.log10(clean.std()) == pytest.approx(-25, abs=0.01)
    ratio = np.mean(clean**2) / np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=1e-6)


def test_peaks_are_turned_down_without_a_change_of_snr():
    rng = np.random.default_rng(0)
    clean, noisy = mix(*rng.standard_normal((2, 16000)), 0, level_db=-6)
    assert np.abs(noisy).max() == pytest.approx(0.99)
    ratio = np.mean(clean**2) / np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(0, abs=1e-6)
