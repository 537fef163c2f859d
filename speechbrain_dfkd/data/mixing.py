"""Mixes speech and noise as the DNS Challenge's synthesizer does."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torchaudio
from numpy.random import Generator
from scipy import signal
from torch import Tensor

from speechbrain_dfkd.data.audio import resample
from speechbrain_dfkd.errors import UserError, check_setting, is_number


def rms(wav: np.ndarray | Tensor) -> float:
    """Return the root of the mean square of a waveform [L]."""
    return math.sqrt(float(wav @ wav) / len(wav))


def from_db(level_db: float) -> float:
    """Return the ratio of amplitudes that a level in dB means."""
    return 10 ** (level_db / 20)


def mix(
    speech: np.ndarray | Tensor, noise: np.ndarray | Tensor, snr_db: float
) -> np.ndarray | Tensor:
    """Return speech [L] plus noise [L], neither silent, at a power ratio."""
    return speech + noise * (rms(speech) / rms(noise) * from_db(-snr_db))


def audible(draw: Callable, least_rms: float, tries: int) -> Any:
    """Return the first waveform drawn above a level, or None after some."""
    drawn = (draw() for _ in range(tries))
    return next((wav for wav in drawn if rms(wav) > least_rms), None)


def is_range_db(values: Any) -> bool:
    """Tell whether a setting is ``[least, most]``, in dB."""
    is_pair = isinstance(values, list | tuple) and len(values) == 2
    is_finite = is_pair and all(is_number(v, -1e9, 1e9) for v in values)
    return is_finite and values[0] <= values[1]


# Hz: between these lie the edges of a band, drawn on a logarithmic scale below
# and a linear one above.
LOWER_EDGES, UPPER_EDGES = (20.0, 150.0), (6500.0, 8000.0)


def random_filter(wav: Tensor, draw: Generator) -> Tensor:
    """Change the spectrum of a waveform [L] smoothly and at random.

    ``(1 + r1 z^-1 + r2 z^-2) / (1 + r3 z^-1 + r4 z^-2)`` with each r uniform
    in +-3/8, the filter of Valin, A Hybrid DSP/Deep Learning Approach to
    Real-Time Full-Band Speech Enhancement, MMSP 2018, arXiv 1709.08243. It is
    always stable.
    """
    r1, r2, r3, r4 = draw.uniform(-3 / 8, 3 / 8, 4).tolist()
    poles, zeros = wav.new_tensor([1, r3, r4]), wav.new_tensor([1, r1, r2])
    return torchaudio.functional.lfilter(wav, poles, zeros, clamp=False)


def band_limit(
    wav: np.ndarray, draw: Generator, sample_rate: int
) -> np.ndarray:
    """Cut off what of a waveform [L] lies below and above random edges.

    Recordings of one collection often end at one frequency: a network learns
    to tell speech of one from noise of another by that, which fails elsewhere.
    """
    lower = np.exp(draw.uniform(*np.log(LOWER_EDGES)))
    upper = draw.uniform(*UPPER_EDGES)
    spectrum = np.fft.rfft(wav)
    hertz = np.fft.rfftfreq(len(wav), 1 / sample_rate)
    spectrum[(hertz < lower) | (hertz > upper)] = 0
    return np.fft.irfft(spectrum, len(wav)).astype(wav.dtype)


# What is below this, -100 dB re full scale, is less than 16 bits can hold.
_SILENT_RMS = 1e-5
_TRIES = 20


def _are_speeds(values: Any) -> bool:
    is_list = isinstance(values, list | tuple) and len(values) > 0
    return is_list and all(is_number(value, 0.1, 10) for value in values)


# By the ends of the names of a mixer's settings.
_CHECKS = {
    "_db": (is_range_db, "[least, most] in dB"),
    "_seconds": (lambda value: is_number(value, 0), "a number of at least 0"),
    "_share": (lambda value: is_number(value, 0, 1), "a share from 0 to 1"),
    "_speeds": (_are_speeds, "numbers from 0.1 to 10"),
    "_duration": (lambda value: isinstance(value, bool), "True or False"),
    "peak": (lambda v: is_number(v, 1e-3, 1), "a number from 0.001 to 1"),
}


@dataclasses.dataclass(frozen=True)
class Mixer:
    """Makes a noisy segment and its clean target from recordings.

    Speech is a row of random recordings with gaps, cut at random places to
    fit. One or two noises, made alike, are added at a random ratio. Then noisy
    and clean are brought to the level drawn for noisy, and turned down
    together where either would clip. So does audiolib.py of
    github.com/microsoft/DNS-Challenge (Reddy et al., arXiv 2005.13981), which
    draws integers and leaves out clipped recordings and mixtures with pauses.

    Arguments
    ---------
    snr_db : tuple of float
        The least and greatest ratio of speech to noise.
    level_db : tuple of float
        The least and greatest RMS of noisy, in dB re full scale.
    gap_seconds : float
        Silence between two recordings of a segment.
    two_noises_share : float
        How many of the mixtures have a second noise, of equal power.
    coloured_share : float
        How many of the noises get another spectrum, by ``random_filter``.
    coloured_speech_share : float
        How many of the segments of speech do, and their targets with them.
    band_limited_share : float
        How many of the tracks, speech and noises each, lose what lies outside
        of random edges, by ``band_limit``.
    speech_speeds, noise_speeds : tuple of float
        Each segment of speech and each noise is played at one of these speeds:
        at 2 twice as fast and an octave higher.
    noise_by_duration : bool
        Whether each second of noise is equally likely, or each recording.
    reverb_share : float
        How many are reverberated, where there are impulse responses. The
        target then is the direct path with early reflections.
    early_seconds : float
        Reflections up to this after the direct path belong to the target.
    peak : float
        The greatest absolute value of a sample.
    """

    snr_db: tuple
    level_db: tuple
    gap_seconds: float
    two_noises_share: float
    coloured_share: float
    coloured_speech_share: float
    band_limited_share: float
    speech_speeds: tuple
    noise_speeds: tuple
    noise_by_duration: bool
    reverb_share: float
    early_seconds: float
    peak: float

    def __post_init__(self):
        for name, value in vars(self).items():
            found = (c for end, c in _CHECKS.items() if name.endswith(end))
            fits, constraint = next(found)
            check_setting(f"mixer.{name}", value, fits(value), constraint)

    def mix(
        self,
        draw_speech: Callable,
        draw_noise: Callable,
        draw_response: Callable | None,
        frames: int,
        sample_rate: int,
        rng: Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a noisy segment and its clean target, [frames] each.

        ``draw_speech`` and ``draw_noise`` map ``(most, rng)`` to at most so
        many samples of a random recording, ``draw_response`` maps ``(rng)``
        to a random impulse response.
        """

        def track(draw: Callable, speeds: tuple, share: float) -> np.ndarray:
            """Return speech or a noise, of which a share is coloured."""
            # Without a choice nothing is drawn, so that the other draws do
            # not depend on these settings.
            speed = rng.choice(speeds) if len(speeds) > 1 else speeds[0]
            rate = round(speed * sample_rate)
            needed = -(-frames * rate // sample_rate)
            gap = round(self.gap_seconds * rate)
            row = partial(_row, draw, needed, gap, rng)
            wav = audible(row, _SILENT_RMS, _TRIES)
            if wav is None:
                raise UserError(
                    f"recordings must have sound in them, got {_TRIES} silent "
                    "segments in a row; remove the silent recordings"
                )
            if rate != sample_rate:
                wav = resample(wav, rate, sample_rate)[:frames]
            if share and rng.random() < share:
                wav = random_filter(torch.from_numpy(wav), rng).numpy()
            limited = self.band_limited_share
            if limited and rng.random() < limited:
                wav = band_limit(wav, rng, sample_rate)
            return wav

        two = rng.random() < self.two_noises_share
        reverberated = rng.random() < self.reverb_share
        target = speech = track(
            draw_speech, self.speech_speeds, self.coloured_speech_share
        )
        noises = [
            track(draw_noise, self.noise_speeds, self.coloured_share)
            for _ in range(1 + two)
        ]
        noise, *second = (noise / rms(noise) for noise in noises)
        for other in second:
            noise = noise + other
        if draw_response is not None and reverberated:
            early = round(self.early_seconds * sample_rate)
            speech, target = reverberate(speech, draw_response(rng), early)
        noisy = mix(speech, noise, rng.uniform(*self.snr_db))
        gain = from_db(rng.uniform(*self.level_db)) / rms(noisy)
        highest = max(float(np.abs(wav).max()) for wav in (noisy, target))
        gain = min(gain, self.peak / highest)
        return gain * noisy, gain * target


def reverberate(
    speech: np.ndarray, response: np.ndarray, early: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return speech [L] with all reflections, and with the early ones alone.

    It is aligned to its direct path, the greatest absolute value of the
    impulse response [N]; ``early`` samples after that belong to the target.
    """
    direct = int(np.abs(response).argmax())
    response = response / np.abs(response[direct])
    frames = len(speech)
    return tuple(
        signal.oaconvolve(speech, part)[direct : direct + frames]
        for part in (response, response[: direct + early + 1])
    )


def _row(draw: Callable, frames: int, gap: int, rng: Generator) -> np.ndarray:
    """Return recordings in a row, with gaps between them."""
    track = np.zeros(frames, np.float32)
    position = 0
    while position < frames:
        piece = draw(frames - position, rng)
        track[position : position + len(piece)] = piece
        position += len(piece) + gap
    return track
