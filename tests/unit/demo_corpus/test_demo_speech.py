"""The demo corpus speaks: repeatable, audible speech by different voices."""

import sys

import numpy as np
import pytest
from scipy.signal import welch

from speechbrain_dfkd.demo_corpus import talkers
from speechbrain_dfkd.demo_corpus.talkers import NATIVE_RATE, ESpeak
from speechbrain_dfkd.errors import UserError


@pytest.fixture(name="espeak")
def fixture_espeak():
    """Skip where eSpeak NG is not installed."""
    return pytest.importorskip("espeakng_loader")


TRAIN_VOICES, TEST_VOICES = (
    [*talkers.SPEAKERS[split].values(), *talkers.BACKGROUND[split].values()]
    for split in ("train", "test")
)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
def test_sentences_of_the_splits_are_many_and_disjoint(language):
    train = talkers.all_sentences(language, "train")
    test = talkers.all_sentences(language, "test")
    assert len({*train, *test}) == len(train) + len(test) == 1000
    assert len(test) >= 200


def test_sentences_repeat_only_when_all_are_said():
    spoken = talkers.shuffled_sentences("en", "test", np.random.default_rng(0))
    first = [next(spoken) for _ in range(249)]
    assert len(set(first)) == 249
    assert next(spoken) == first[0]


def test_no_variant_is_used_twice():
    variants = [v.name.split("+")[1] for v in (*TRAIN_VOICES, *TEST_VOICES)]
    assert len(variants) == len(set(variants))


def test_validation_and_test_ids_are_those_of_voicebank():
    assert len(talkers.SPEAKERS["train"]) == 28
    assert {"p226", "p287"} <= set(talkers.SPEAKERS["train"])
    assert set(talkers.SPEAKERS["test"]) == {"p232", "p257"}


def test_speech_does_not_depend_on_what_others_said(espeak):
    def say():
        engine = ESpeak("en-us+f3", seed=5)
        wavs = [engine.say("Six thin sheep slept."), engine.say("So it is.")]
        engine.close()
        return wavs

    first = say()
    ESpeak("de+m2", seed=1).say("Das hat damit nichts zu tun.")
    for one, other in zip(first, say(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pitch_and_rate_are_obeyed(espeak):
    engine = ESpeak("en-us+m3", seed=0)
    text = "We were away a year ago."
    slow = engine.say(text, words_per_minute=120)
    fast = engine.say(text, words_per_minute=240)
    assert 1.5 < len(slow) / len(fast) < 2.5
    low, high = (_f0(engine.say(text, pitch=p), NATIVE_RATE) for p in (30, 80))
    assert high > 1.2 * low


def test_unknown_voice_is_a_user_error(espeak):
    with pytest.raises(UserError, match="voice must be known.*'xx-none'"):
        ESpeak("xx-none", seed=0)


def test_missing_package_is_a_user_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"pip install -e \"\.\[demo\]\""):
        ESpeak("en-us", seed=0)


def test_library_that_does_not_load_is_a_user_error(tmp_path, monkeypatch):
    loader = pytest.importorskip("espeakng_loader")
    (tmp_path / "broken.so").write_bytes(b"not a library")
    monkeypatch.setattr(
        loader, "get_library_path", lambda: tmp_path / "broken.so"
    )
    with pytest.raises(UserError, match="must load from.*set TMPDIR"):
        ESpeak("en-us", seed=0)


def test_utterances_keep_to_their_limits(espeak):
    talker = talkers.Talker(talkers.SPEAKERS["test"]["p232"], "test", seed=0)
    for _ in range(5):
        assert len(talker.utterance(0.5, 1.0)) == 16000
    assert 96000 <= len(talker.utterance(6.0, 20.0)) < 320000
    cut = talker.utterance(0.5, 0.75)
    assert np.abs(cut[-5:]).max() < 0.05 * np.abs(cut).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    "voice", (*TRAIN_VOICES, *TEST_VOICES), ids=lambda voice: voice.name
)
def test_every_voice_speaks(espeak, voice):
    wav = _speech(voice)
    assert np.isfinite(wav).all()
    assert 0.05 < np.abs(wav).max() < 0.99
    assert 70 < _f0(wav) < 350
    # Most speech energy is below 4 kHz, and some of it above 2 kHz.
    frequency, power = welch(wav, 16000, nperseg=512)
    share = power.cumsum() / power.sum()
    assert share[frequency <= 4000][-1] > 0.7
    assert share[frequency <= 2000][-1] < 0.9999
    # Loud and soft frames alternate, as syllables and pauses do.
    frames = wav[: len(wav) // 400 * 400].reshape(-1, 400)
    level = 10 * np.log10((frames**2).mean(1) + 1e-9)
    assert np.percentile(level, 90) - np.percentile(level, 10) > 15


@pytest.mark.slow
def test_voices_differ_more_than_one_voice_from_itself(espeak):
    several = talkers.SPEAKERS["train"]["p226"]
    spectra = [_timbre(_speech(v)) for v in (*TRAIN_VOICES, *TEST_VOICES)]
    itself = _distance(*(_timbre(_speech(several, seed)) for seed in (1, 2)))
    for index, spectrum in enumerate(spectra):
        for other in spectra[:index]:
            assert _distance(spectrum, other) > itself


def _speech(voice, seed=0):
    talker = talkers.Talker(voice, "train", seed)
    wav = talker.utterance(10, 12)
    talker.engine.close()
    return wav


def _timbre(wav):
    power = welch(wav, 16000, nperseg=512)[1]
    edges = np.unique(np.geomspace(1, 256, 20).astype(int))
    bands = np.log10(np.add.reduceat(power, edges[:-1]))
    return 10 * (bands - bands.max())


def _distance(one, other):
    return np.sqrt(np.mean((one - other) ** 2))


def _f0(wav, rate=16000):
    """Return the median over loud frames of the autocorrelation's peak."""
    size, shortest, longest = rate // 20, rate // 400, rate // 60
    found = []
    for start in range(0, len(wav) - size, size):
        frame = wav[start : start + size]
        if frame.std() > 0.5 * wav.std():
            spectrum = np.fft.rfft(frame - frame.mean(), 2 * size)
            similarity = np.fft.irfft(np.abs(spectrum) ** 2)
            lag = shortest + similarity[shortest:longest].argmax()
            found.append(rate / lag)
    return np.median(found)
