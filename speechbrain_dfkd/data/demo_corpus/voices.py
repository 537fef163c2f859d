"""The talkers: who speaks in which split, and who is background babble.

No eSpeak NG variant (the shape of the voice) is used twice, so that no voice
of the test set, in front or in the background, is heard in training. The
whispering, robotic and clipping variants are left out, and so are those with
a Klatt synthesiser: they draw noise from the C library's one rand(), and what
they say would change with whatever else used it in this process.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from speechbrain_dfkd.data.demo_corpus.espeak import NATIVE_RATE, ESpeak
from speechbrain_dfkd.data.demo_corpus.noise import RATE
from speechbrain_dfkd.data.demo_corpus.sentences import shuffled_sentences

_AUDIBLE = 0.003
_PAUSE_SECONDS = (0.05, 0.2)


class Voice(NamedTuple):
    """An eSpeak NG voice with its habitual pitch and rate."""

    name: str
    pitch: int
    words_per_minute: int


# The speaker ids of VoiceBank, so that a recipe's selection by id works.
TRAIN_SPEAKERS = {
    "p226": Voice("en-us+m3", 50, 165),
    "p287": Voice("fr+f2", 52, 165),
    "p227": Voice("en-gb-x-rp+m1", 45, 170),
    "p228": Voice("en-us+f3", 50, 175),
    "p230": Voice("de+f1", 48, 175),
    "p231": Voice("es+f4", 55, 180),
    "p233": Voice("it+f5", 50, 185),
    "p236": Voice("en-gb-scotland+Annie", 45, 165),
    "p239": Voice("en-us+aunty", 55, 160),
    "p243": Voice("de+m2", 40, 180),
    "p244": Voice("fr-be+Alicia", 45, 175),
    "p250": Voice("en-029+Andrea", 40, 150),
    "p254": Voice("es-419+m4", 50, 185),
    "p256": Voice("it+Alex", 50, 190),
    "p258": Voice("fr+Nguyen", 45, 165),
    "p259": Voice("en-gb-x-rp+m8", 60, 170),
    "p267": Voice("de+grandma", 50, 165),
    "p268": Voice("en-us+shelby", 55, 175),
    "p269": Voice("es+steph", 60, 180),
    "p270": Voice("it+Gene", 35, 180),
    "p273": Voice("en-us-nyc+ed", 60, 170),
    "p274": Voice("fr-ch+quincy", 60, 160),
    "p276": Voice("de+anika", 45, 160),
    "p277": Voice("en-us+zac", 30, 165),
    "p278": Voice("en-gb-scotland+m7", 60, 170),
    "p279": Voice("es+paul", 70, 185),
    "p282": Voice("it+linda", 40, 180),
    "p286": Voice("de+Lee", 65, 180),
}
TEST_SPEAKERS = {
    "p232": Voice("en-us+travis", 60, 165),
    "p257": Voice("de+belinda", 40, 175),
}
TRAIN_BACKGROUND = (
    Voice("en-us+Andy", 55, 170),
    Voice("fr+m5", 50, 165),
    Voice("es+grandpa", 60, 180),
    Voice("de+steph2", 50, 170),
    Voice("it+norbert", 45, 180),
    Voice("en-gb-x-rp+Diogo", 60, 160),
)
TEST_BACKGROUND = (
    Voice("en-us+pablo", 55, 165),
    Voice("fr+michel", 50, 165),
    Voice("es+m6", 40, 185),
    Voice("it+sandro", 60, 180),
)


def named_rng(seed: int, name: str) -> np.random.Generator:
    """Return a random generator of its own for ``name``."""
    return np.random.default_rng([seed, *name.encode()])


class Talker:
    """A voice that says one utterance after another, with small changes.

    Arguments
    ---------
    voice : Voice
        Who speaks.
    split : str
        "train" or "test": whose sentences are spoken.
    seed : int
        What the talker says is a function of voice, split and seed.
    """

    def __init__(self, voice: Voice, split: str, seed: int):
        self._voice = voice
        self._rng = named_rng(seed, f"{split} {voice.name}")
        language = voice.name.split("+")[0].split("-")[0]
        self._texts = shuffled_sentences(language, split, self._rng)
        self._engine = ESpeak(voice.name, int(self._rng.integers(2**31)))

    def utterance(self, min_seconds: float, max_seconds: float) -> np.ndarray:
        """Speak sentences until there are ``min_seconds`` of sound.

        Arguments
        ---------
        min_seconds, max_seconds : float
            What is longer than the latter is cut there, and faded out.

        Returns
        -------
        numpy.ndarray
            float32 [samples] at 16 kHz.
        """
        wav = self._pause()
        while len(wav) < min_seconds * RATE:
            wav = np.r_[wav, self._sentence(), self._pause()]
        return _cut(wav, round(max_seconds * RATE))

    def close(self):
        """Stop the engine."""
        self._engine.close()

    def _sentence(self):
        _, pitch, words_per_minute = self._voice
        wav = self._engine.say(
            next(self._texts),
            round(words_per_minute * self._rng.uniform(0.95, 1.25)),
            pitch + self._rng.integers(-4, 5),
        )
        spoken = np.flatnonzero(np.abs(wav) > _AUDIBLE)
        wav = wav[spoken[0] : spoken[-1] + 1]
        return resample_poly(wav, RATE // 50, NATIVE_RATE // 50)

    def _pause(self):
        seconds = self._rng.uniform(*_PAUSE_SECONDS)
        return np.zeros(round(seconds * RATE), np.float32)


def background(
    voices: tuple[Voice, ...], split: str, seed: int
) -> Iterator[np.ndarray]:
    """Yield ten to twelve seconds of each of the background ``voices``."""
    for voice in voices:
        talker = Talker(voice, split, seed)
        yield talker.utterance(10, 12)
        talker.close()


def _cut(wav, length):
    if len(wav) <= length:
        return wav
    fade = np.linspace(1, 0, RATE // 100, dtype=np.float32)
    wav = wav[:length].copy()
    wav[-len(fade) :] *= fade
    return wav
