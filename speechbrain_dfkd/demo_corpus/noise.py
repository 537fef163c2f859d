"""Synthetic noises of any level at 16 kHz: (length, voices, rng) -> [length]."""

from functools import partial

import numpy as np
from numpy.random import Generator

RATE = 16000
_FRAME = 512
# Below this frequency noises fall off, as no microphone or fan reaches to 0 Hz.
_LOWEST_HZ = 40.0


def filtered(gain: np.ndarray, length: int, rng: Generator) -> np.ndarray:
    """Return Gaussian noise with a spectrum: evenly spaced from 0 to 8 kHz."""
    # Lengths with large prime factors make a slow FFT: make more, and cut.
    made = -(-length // 4096) * 4096
    spectrum = np.fft.rfft(rng.standard_normal(made))
    frequency = np.linspace(0, 1, len(spectrum))
    spectrum *= np.interp(frequency, np.linspace(0, 1, len(gain)), gain)
    return np.fft.irfft(spectrum, made)[:length]


def coloured(length: int, talkers: list, rng: Generator, *, slope_db: float):
    """Return noise whose power changes by ``slope_db`` per octave."""
    frequency = np.linspace(0, RATE / 2, 4096)
    octaves = np.log2(np.maximum(frequency, _LOWEST_HZ) / 1000)
    gain = 10 ** (slope_db * octaves / 20)
    gain[frequency < _LOWEST_HZ] = 0
    return filtered(gain, length, rng)


def speech_shaped(length: int, talkers: list, rng: Generator):
    """Return steady noise with the long-term spectrum of one talker."""
    speech = talkers[rng.integers(len(talkers))]
    frames = speech[: len(speech) // _FRAME * _FRAME].reshape(-1, _FRAME)
    spectra = np.abs(np.fft.rfft(frames * np.hanning(_FRAME)))
    return filtered(np.sqrt((spectra**2).mean(0)), length, rng)


def babble(length: int, talkers: list, rng: Generator):
    """Return three or more talkers at once, each from a random place on."""
    count = rng.integers(3, len(talkers) + 1)
    total = np.zeros(length)
    for talker in rng.choice(len(talkers), count, replace=False):
        wav = talkers[talker] / talkers[talker].std()
        turned = np.roll(wav, rng.integers(len(wav)))
        total += rng.uniform(0.5, 1) * np.resize(turned, length)
    return total


def hum(length: int, talkers: list, rng: Generator, *, mains_hz: float):
    """Return the harmonics of a mains frequency over a faint hiss."""
    time = np.arange(length) / RATE
    fundamental = mains_hz * rng.uniform(0.998, 1.002)
    total = 0.02 * rng.standard_normal(length)
    for harmonic in range(1, 25):
        phase = 2 * np.pi * (harmonic * fundamental * time + rng.random())
        total += rng.random() / harmonic**0.7 * np.sin(phase)
    return total


def clicks(length: int, talkers: list, rng: Generator):
    """Return knocks: damped resonances at random moments, over pink noise."""
    total = 0.02 * _unit(coloured(length, talkers, rng, slope_db=-3))
    time = np.arange(RATE // 20) / RATE
    count = 1 + rng.poisson(rng.uniform(10, 30) * length / RATE)
    for start in rng.integers(length, size=count):
        decay = np.exp(-time / rng.uniform(0.001, 0.01))
        tone = np.sin(2 * np.pi * rng.uniform(200, 5000) * time)
        click = (rng.uniform(0.3, 1) * decay * tone)[: length - start]
        total[start : start + len(click)] += click
    return total


def modulated(length: int, talkers: list, rng: Generator, *, hz: tuple):
    """Return brown noise that swells and fades, like a passing machine."""
    phase = rng.uniform(*hz) * np.arange(length) / RATE + rng.random()
    envelope = 0.1 + (1 + np.sin(2 * np.pi * phase)) ** 2
    return envelope * coloured(length, talkers, rng, slope_db=-6)


def sweeps(length: int, talkers: list, rng: Generator):
    """Return sirens: three tones whose pitch wanders, over faint pink noise."""
    time = np.arange(length) / RATE
    total = 0.1 * _unit(coloured(length, talkers, rng, slope_db=-3))
    for _ in range(3):
        wander = rng.uniform(1, 2) * np.sin(
            2 * np.pi * (rng.uniform(0.2, 2) * time + rng.random())
        )
        frequency = rng.uniform(300, 1500) * 2 ** (wander / 2)
        total += rng.uniform(0.3, 1) * np.sin(
            2 * np.pi * np.cumsum(frequency) / RATE
        )
    return total


def gusts(length: int, talkers: list, rng: Generator):
    """Return wind: low rumble in slow gusts."""
    slow = filtered(np.r_[np.ones(2), np.zeros(8000)], length, rng)
    wind = coloured(length, talkers, rng, slope_db=-9)
    return (0.2 + np.abs(_unit(slow))) * wind


def _unit(wav: np.ndarray):
    return wav / (wav.std() + 1e-12)


# The numbers of kinds, 9 and 7, have no factor in common with the four SNRs:
# cycling through both gives every pair of them.
KINDS = {
    "train": {
        "white": partial(coloured, slope_db=0),
        "pink": partial(coloured, slope_db=-3),
        "brown": partial(coloured, slope_db=-6),
        "rumble": partial(coloured, slope_db=-9),
        "speech_shaped": speech_shaped,
        "babble": babble,
        "hum50": partial(hum, mains_hz=50),
        "clicks": clicks,
        "modulated": partial(modulated, hz=(1, 8)),
    },
    "test": {
        "between_brown_and_rumble": partial(coloured, slope_db=-7.5),
        "speech_shaped": speech_shaped,
        "babble": babble,
        "hum60": partial(hum, mains_hz=60),
        "fast_modulated": partial(modulated, hz=(9, 16)),
        "sweeps": sweeps,
        "gusts": gusts,
    },
}
