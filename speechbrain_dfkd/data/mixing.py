"""Mixes speech and noise as the DNS Challenge's synthesizer does.

C. K. A. Reddy et al., "The INTERSPEECH 2020 Deep Noise Suppression Challenge",
arXiv 2005.13981, Sec. 2; ``noisyspeech_synthesizer_multiprocessing.py`` and
``audiolib.py`` of github.com/microsoft/DNS-Challenge. Two things differ: ratio
and level are drawn from the reals of their ranges, not from the integers, and
neither clipped recordings nor mixtures with long pauses are left out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from scipy import signal

from speechbrain_dfkd.data.colour import band_limit, random_filter
from speechbrain_dfkd.data.levels import from_db, is_range_db, mix, rms
from speechbrain_dfkd.data.resample_cache import resample
from speechbrain_dfkd.errors import UserError, check_setting, is_number

# What is below this, -100 dB re full scale, is less than 16 bits can hold.
_SILENT_RMS = 1e-5
_TRIES = 20
_SHARES = (
    "two_noises_share", "coloured_share", "coloured_speech_share",
    "band_limited_share", "reverb_share",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mixer:
    """Makes a noisy segment and its clean target from recordings.

    Speech is a row of random recordings with short gaps; what is longer than
    the rest of the segment is cut at a random place. One or two noises, made
    alike, are added at a random ratio, measured over the whole segment. Then
    noisy and clean are brought to the level drawn for noisy, and turned down
    together where either would clip.

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
        Each segment of speech and each noise is played at one of these speeds,
        drawn alike: at 2 twice as fast and an octave higher. ``(1.0,)``: as
        recorded.
    noise_by_duration : bool
        Whether long recordings of noise are drawn more often, so that each
        second of noise is equally likely; otherwise each recording is.
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
        for name in ("snr_db", "level_db"):
            self._require(name, is_range_db, "[least, most] in dB")
        for name in _SHARES:
            self._require(name, _is_share, "a share from 0 to 1")
        for name in ("gap_seconds", "early_seconds"):
            self._require(name, _is_duration, "a number of at least 0")
        for name in ("speech_speeds", "noise_speeds"):
            self._require(name, _are_speeds, "numbers from 0.1 to 10")
        self._require("noise_by_duration", _is_bool, "True or False")
        self._require("peak", _is_peak, "a number from 0.001 to 1")

    def _require(self, name, fits, constraint):
        value = getattr(self, name)
        check_setting(f"mixer.{name}", value, fits(value), constraint)

    def mix(
        self,
        draw_speech: Callable,
        draw_noise: Callable,
        draw_response: Callable | None,
        frames: int,
        sample_rate: int,
        rng: np.random.Generator,
    ):
        """Return a noisy segment and its clean target.

        Arguments
        ---------
        draw_speech, draw_noise : callable
            ``(most, rng)`` to at most ``most`` samples of a random recording,
            float32 [n], 0 < n.
        draw_response : callable or None
            ``(rng)`` to a random impulse response, float32 [n].
        frames : int
            Length of the segment, in samples.
        sample_rate : int
            In Hz.
        rng : np.random.Generator
            All that is random comes from it.

        Returns
        -------
        tuple of np.ndarray
            Noisy and clean, float32 [frames].
        """
        two = rng.random() < self.two_noises_share
        reverberated = rng.random() < self.reverb_share
        speech = self._played(
            draw_speech, self.speech_speeds, frames, sample_rate, rng
        )
        speech = _coloured(speech, self.coloured_speech_share, rng)
        target = speech = self._band_limited(speech, sample_rate, rng)
        noise = self._noise(draw_noise, frames, sample_rate, rng)
        if two:
            second = self._noise(draw_noise, frames, sample_rate, rng)
            noise = noise + second
        if draw_response is not None and reverberated:
            early = round(self.early_seconds * sample_rate)
            speech, target = reverberate(speech, draw_response(rng), early)
        noisy = mix(speech, noise, rng.uniform(*self.snr_db))
        gain = from_db(rng.uniform(*self.level_db)) / rms(noisy)
        highest = max(_peak(noisy), _peak(target))
        gain = min(gain, self.peak / highest)
        return gain * noisy, gain * target

    def _noise(self, draw, frames, sample_rate, rng):
        noise = self._played(draw, self.noise_speeds, frames, sample_rate, rng)
        noise = _coloured(noise, self.coloured_share, rng)
        noise = self._band_limited(noise, sample_rate, rng)
        return noise / rms(noise)

    def _played(self, draw, speeds, frames, sample_rate, rng):
        # Without a choice nothing is drawn, so that the other draws do not
        # depend on these settings.
        speed = rng.choice(speeds) if len(speeds) > 1 else speeds[0]
        played_rate = round(speed * sample_rate)
        needed = -(-frames * played_rate // sample_rate)
        gap = round(self.gap_seconds * played_rate)
        track = _track(draw, needed, gap, rng)
        if played_rate != sample_rate:
            track = resample(track, played_rate, sample_rate)[:frames]
        return track

    def _band_limited(self, wav, sample_rate, rng):
        if self.band_limited_share and rng.random() < self.band_limited_share:
            return band_limit(wav, rng, sample_rate)
        return wav


def reverberate(speech: np.ndarray, response: np.ndarray, early: int):
    """Convolve speech with an impulse response, aligned to its direct path.

    Arguments
    ---------
    speech : np.ndarray
        [frames].
    response : np.ndarray
        [n]; its greatest absolute value is the direct path.
    early : int
        How many samples after the direct path belong to the target.

    Returns
    -------
    tuple of np.ndarray
        All reflections, and the direct path with the early ones: [frames].

    Example
    -------
    >>> speech = np.array([1.0, 2.0, 0.0, 0.0])
    >>> response = np.array([0.0, 1.0, 0.5, 0.25])
    >>> whole, target = reverberate(speech, response, early=1)
    >>> whole.round(3).tolist(), target.round(3).tolist()
    ([1.0, 2.5, 1.25, 0.5], [1.0, 2.5, 1.0, 0.0])
    """
    direct = int(np.abs(response).argmax())
    response = response / np.abs(response[direct])
    frames = len(speech)
    return tuple(
        signal.oaconvolve(speech, part)[direct : direct + frames]
        for part in (response, response[: direct + early + 1])
    )


def _coloured(wav, share, rng):
    if share and rng.random() < share:
        return random_filter(torch.from_numpy(wav), rng).numpy()
    return wav


def _track(draw, frames, gap, rng):
    """Return a segment with sound in it, drawn again where it has none."""
    for _ in range(_TRIES):
        track = _row(draw, frames, gap, rng)
        if rms(track) > _SILENT_RMS:
            return track
    raise UserError(
        f"recordings must have sound in them, got {_TRIES} silent segments in "
        "a row; remove the silent recordings"
    )


def _row(draw, frames, gap, rng):
    track = np.zeros(frames, np.float32)
    position = 0
    while position < frames:
        piece = draw(frames - position, rng)
        track[position : position + len(piece)] = piece
        position += len(piece) + gap
    return track


def _is_share(value):
    return is_number(value, 0, 1)


def _is_duration(value):
    return is_number(value, 0)


def _are_speeds(values):
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(is_number(value, 0.1, 10) for value in values)
    )


def _is_bool(value):
    return isinstance(value, bool)


def _is_peak(value):
    return is_number(value, 1e-3, 1)


def _peak(wav):
    return float(max(wav.max(), -wav.min()))
