"""Synthetic speech: espeak's voices, and who says what."""

import ctypes
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ruamel.yaml import YAML
from scipy.signal import resample_poly

from speechbrain_dfkd.demo_corpus.noise import RATE
from speechbrain_dfkd.errors import UserError

NATIVE_RATE = 22050

# The values of espeak-ng/speak_lib.h that are used here.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_UTF8 = 1
# Of 200. Some voices clip at the default of 100.
_SAFE_VOLUME = 40

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)


class ESpeak:
    """An eSpeak NG engine with one voice; the seed is that of its breath."""

    def __init__(self, voice: str, seed: int):
        self._chunks = []
        # ctypes keeps no reference to a callback: it must live on the object.
        self._callback = _CALLBACK(self._collect)
        self._library = _start_library()
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(
                f"voice must be known to eSpeak NG, got {voice!r}; "
                "pip install --upgrade espeakng-loader"
            )

    def say(
        self, text: str, words_per_minute: int = 160, pitch: int = 50
    ) -> np.ndarray:
        """Return [samples] at ``NATIVE_RATE``; pitch 50 is the voice's own."""
        settings = {_RATE: words_per_minute, _VOLUME: _SAFE_VOLUME}
        for parameter, value in (settings | {_PITCH: pitch}).items():
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._chunks.clear()
        data = text.encode()
        self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None
        )
        self._library.espeak_Synchronize()
        wav = np.frombuffer(b"".join(self._chunks), np.int16)
        if not wav.any():
            raise UserError(
                f"eSpeak NG must give sound, got none for {text!r}; "
                "pip install --force-reinstall espeakng-loader"
            )
        return wav.astype(np.float32) / 32768

    def close(self) -> None:
        """Free the voice data."""
        self._library.espeak_Terminate()

    def _collect(self, samples: int | None, count: int, events: int) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def _start_library() -> ctypes.CDLL:
    try:
        import espeakng_loader as loader
    except ImportError as error:
        raise UserError(
            "the demo corpus needs the package espeakng-loader, which is not "
            'installed; run: pip install -e ".[demo]"'
        ) from error
    try:
        # A library has one voice at a time, so that each talker loads a copy.
        # It can be unlinked then, except on Windows: leave it there.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            copy = shutil.copy(loader.get_library_path(), folder)
            library = ctypes.CDLL(str(copy))
    except OSError as error:
        raise UserError(
            "eSpeak NG must load from the folder for temporary files, got: "
            f"{error}; set TMPDIR to a folder that has room and from which "
            "libraries may be loaded"
        ) from error
    data = str(loader.get_data_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate != NATIVE_RATE:
        raise UserError(
            f"eSpeak NG must start at {NATIVE_RATE} Hz, got {rate} with its "
            f"data in {data}; pip install --force-reinstall espeakng-loader, "
            "in a folder with a path of less than 140 characters"
        )
    return library


class Voice(NamedTuple):
    """An eSpeak NG voice with its habitual pitch and rate."""

    name: str
    pitch: int
    words_per_minute: int


_SPOKEN = YAML(typ="safe").load(Path(__file__).with_name("spoken.yaml"))
# {split: {name: Voice}}
SPEAKERS = {
    split: {name: Voice(*row) for name, row in rows.items()}
    for split, rows in _SPOKEN["speakers"].items()
}
BACKGROUND = {
    split: {row[0]: Voice(*row) for row in rows}
    for split, rows in _SPOKEN["background"].items()
}
_TEST_SHARE = 4


def all_sentences(language: str, split: str) -> list[str]:
    """Return every sentence of "train" or "test", which share none."""
    slots = [text.split("; ") for text in _SPOKEN["sentences"][language]]
    wanted = []
    for picks in itertools.product(range(10), repeat=3):
        if (sum(picks) % _TEST_SHARE == 0) == (split == "test"):
            words = " ".join(slots[k][i] for k, i in enumerate(picks))
            wanted.append(f"{words[0].upper()}{words[1:]}.")
    return wanted


def shuffled_sentences(
    language: str, split: str, rng: np.random.Generator
) -> Iterator[str]:
    """Yield the sentences of a split in a random order, again and again."""
    return itertools.cycle(rng.permutation(all_sentences(language, split)))


def named_rng(seed: int, name: str) -> np.random.Generator:
    """Return a random generator of its own for ``name``."""
    return np.random.default_rng([seed, *name.encode()])


class Talker:
    """A voice that says one utterance after another, with small changes."""

    def __init__(self, voice: Voice, split: str, seed: int):
        self._voice = voice
        self._rng = named_rng(seed, f"{split} {voice.name}")
        language = voice.name.split("+")[0].split("-")[0]
        self._texts = shuffled_sentences(language, split, self._rng)
        self.engine = ESpeak(voice.name, int(self._rng.integers(2**31)))

    def utterance(self, min_seconds: float, max_seconds: float) -> np.ndarray:
        """Speak sentences [L], float32 at 16 kHz, up to a greatest length."""
        wav = self._pause()
        while len(wav) < min_seconds * RATE:
            wav = np.r_[wav, self._sentence(), self._pause()]
        length = round(max_seconds * RATE)
        if len(wav) <= length:
            return wav
        fade = np.linspace(1, 0, RATE // 100, dtype=np.float32)
        wav = wav[:length].copy()
        wav[-len(fade) :] *= fade
        return wav

    def _sentence(self):
        _, pitch, speed = self._voice
        speed = round(speed * self._rng.uniform(0.95, 1.25))
        pitch = pitch + self._rng.integers(-4, 5)
        wav = self.engine.say(next(self._texts), speed, pitch)
        spoken = np.flatnonzero(np.abs(wav) > 0.003)
        wav = wav[spoken[0] : spoken[-1] + 1]
        return resample_poly(wav, RATE // 50, NATIVE_RATE // 50)

    def _pause(self):
        length = round(self._rng.uniform(0.05, 0.2) * RATE)
        return np.zeros(length, np.float32)


def background(split: str, seed: int) -> Iterator[np.ndarray]:
    """Yield ten to twelve seconds of each of the background voices."""
    for voice in BACKGROUND[split].values():
        talker = Talker(voice, split, seed)
        yield talker.utterance(10, 12)
        talker.engine.close()
