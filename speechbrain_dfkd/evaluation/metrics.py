"""Metrics of one enhanced utterance against its clean reference.

Every metric is called as ``metric(clean, enhanced, sample_rate)`` on 1-D arrays
of equal length and returns a finite number, or raises ``UndefinedMetric``.
torch is not imported, so that scoring workers start fast and stay small.
"""

import warnings

import numpy as np
import pesq
import pystoi

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import pesq_capacity

PESQ_SAMPLE_RATE = 16000
PESQ_MIN_SECONDS = 0.25
# 30 frames of 25.6 ms, one every 12.8 ms: one segment of STOI.
STOI_MIN_SECONDS = 0.3968
# Ratios of energies beyond this (138 dB) are rounding errors of float32 audio.
MAX_ENERGY_RATIO = 1 / float(np.finfo(np.float32).eps) ** 2


class UndefinedMetric(ValueError):
    """The metric has no value for this utterance; the message says why."""


def pesq_wb(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Wide-band PESQ, as a MOS-LQO from 1.0 to 4.64 (ITU-T P.862.2).

    Arguments
    ---------
    clean : np.ndarray
        The reference, of shape [L].
    enhanced : np.ndarray
        The signal to judge, of shape [L].
    sample_rate : int
        Must be 16000 Hz.

    Returns
    -------
    float

    Raises
    ------
    UndefinedMetric
        If PESQ finds no utterance or more than it holds, or a signal is silent,
        not finite, shorter than 0.25 s or longer than 120 s.
    UserError
        If the sample rate is not 16000 Hz.
    """
    return _pesq(clean, enhanced, sample_rate, "wb")


def pesq_nb(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Narrow-band PESQ, as a MOS-LQO from 1.0 to 4.55 (ITU-T P.862.1).

    It is computed from the signals at 16 kHz, as scores on the test sets of
    DNS2020 are. Arguments, result and errors are those of ``pesq_wb``.
    """
    return _pesq(clean, enhanced, sample_rate, "nb")


def stoi(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Short-time objective intelligibility, at most 1 (Taal et al., 2011).

    This is the classic measure, not the extended one (ESTOI).

    Arguments
    ---------
    clean : np.ndarray
        The reference, of shape [L].
    enhanced : np.ndarray
        The signal to judge, of shape [L].
    sample_rate : int
        In Hz; pystoi resamples to 10 kHz.

    Returns
    -------
    float

    Raises
    ------
    UndefinedMetric
        If fewer than 30 frames of speech remain once silent frames are left
        out, or a signal is silent or not finite.
    """
    clean, enhanced = _as_defined(clean, enhanced)
    _require_seconds(clean, sample_rate, STOI_MIN_SECONDS)
    with warnings.catch_warnings():
        # pystoi would only warn, and return 1e-5 as if it were a score.
        warnings.filterwarnings(
            "error", "Not enough STFT frames", RuntimeWarning
        )
        try:
            value = pystoi.stoi(clean, enhanced, sample_rate, extended=False)
        except RuntimeWarning as warning:
            raise UndefinedMetric(
                "fewer than 30 frames of speech without silence"
            ) from warning
    return _finite(value)


def si_sdr(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).

    With the means removed and ``a = <enhanced, clean> / <clean, clean>``, it is
    ``10 log10(|a clean|^2 / |enhanced - a clean|^2)``.

    Arguments
    ---------
    clean : np.ndarray
        The reference, of shape [L].
    enhanced : np.ndarray
        The signal to judge, of shape [L].
    sample_rate : int
        Not used: every metric is called alike.

    Returns
    -------
    float

    Raises
    ------
    UndefinedMetric
        If a signal is silent or not finite, or the ratio is infinite: the
        distortion or the target is below the resolution of float32.

    Example
    -------
    >>> clean = np.array([1.0, -1.0, 1.0, -1.0])
    >>> noise = np.array([1.0, 1.0, -1.0, -1.0])
    >>> round(si_sdr(clean, 3 * (clean + 0.1 * noise)), 6)
    20.0
    """
    clean, enhanced, scale = _projection(clean, enhanced)
    target = _dot(scale * clean, scale * clean)
    residual = enhanced - scale * clean
    distortion = _dot(residual, residual)
    if target >= MAX_ENERGY_RATIO * distortion:
        raise UndefinedMetric("infinite: enhanced is clean, up to its level")
    if distortion >= MAX_ENERGY_RATIO * target:
        raise UndefinedMetric("minus infinite: enhanced holds nothing of clean")
    return float(10 * np.log10(target / distortion))


def output_gain_db(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Level of the clean speech within enhanced in dB, which SI-SDR ignores.

    It is ``20 log10 |<enhanced, clean>| / <clean, clean>`` with means removed,
    the scale ``a`` of ``si_sdr``; 0 dB is the level of the reference.

    Arguments
    ---------
    clean : np.ndarray
        The reference, of shape [L].
    enhanced : np.ndarray
        The signal to judge, of shape [L].
    sample_rate : int
        Not used: every metric is called alike.

    Raises
    ------
    UndefinedMetric
        If a signal is silent or not finite, or enhanced is orthogonal to clean.

    Example
    -------
    >>> clean = np.array([1.0, -1.0, 1.0, -1.0])
    >>> round(output_gain_db(clean, 0.5 * clean), 2)
    -6.02
    """
    clean, enhanced, scale = _projection(clean, enhanced)
    target = scale**2 * _dot(clean, clean)
    if _dot(enhanced, enhanced) >= MAX_ENERGY_RATIO * target:
        raise UndefinedMetric("minus infinite: enhanced holds nothing of clean")
    return float(20 * np.log10(abs(scale)))


def correlation(clean, enhanced, sample_rate=PESQ_SAMPLE_RATE):
    """Cosine between enhanced and clean, means removed, from -1 to 1.

    It is below 0 where enhanced is rather the negative of clean, which none of
    the other metrics shows.

    Arguments
    ---------
    clean : np.ndarray
        The reference, of shape [L].
    enhanced : np.ndarray
        The signal to judge, of shape [L].
    sample_rate : int
        Not used: every metric is called alike.

    Raises
    ------
    UndefinedMetric
        If a signal is silent or not finite.

    Example
    -------
    >>> clean = np.array([1.0, -1.0, 1.0, -1.0])
    >>> noise = np.array([1.0, 1.0, -1.0, -1.0])
    >>> round(correlation(clean, -2 * (3 * clean + 4 * noise)), 6)
    -0.6
    """
    clean, enhanced, scale = _projection(clean, enhanced)
    ratio = _dot(clean, clean) / _dot(enhanced, enhanced)
    return float(np.clip(scale * np.sqrt(ratio), -1, 1))


# Of every validation, and of a test.
METRICS = {
    "pesq_wb": pesq_wb,
    "stoi": stoi,
    "si_sdr": si_sdr,
    "gain_db": output_gain_db,
    "correlation": correlation,
}
TEST_METRICS = {"pesq_wb": pesq_wb, "pesq_nb": pesq_nb, **METRICS}


def _pesq(clean, enhanced, sample_rate, band):
    if sample_rate != PESQ_SAMPLE_RATE:
        raise UserError(
            f"sample_rate must be {PESQ_SAMPLE_RATE} Hz for PESQ, got "
            f"{sample_rate}; resample the audio"
        )
    clean, enhanced = _as_defined(clean, enhanced)
    _require_seconds(clean, sample_rate, PESQ_MIN_SECONDS)
    if reason := pesq_capacity.excess(clean, sample_rate, band):
        raise UndefinedMetric(reason)
    try:
        value = pesq.pesq(sample_rate, clean, enhanced, band)
    except pesq.OutOfMemoryError as error:
        raise MemoryError(_text(error)) from error
    except pesq.PesqError as error:
        raise UndefinedMetric(_text(error)) from error
    return _finite(value)


def _as_defined(clean, enhanced):
    clean = np.asarray(clean, dtype=np.float64)
    enhanced = np.asarray(enhanced, dtype=np.float64)
    if clean.shape != enhanced.shape or clean.ndim != 1:
        raise UndefinedMetric(
            f"clean and enhanced must be 1-D and equally long, got shapes "
            f"{clean.shape} and {enhanced.shape}"
        )
    for name, signal in (("clean", clean), ("enhanced", enhanced)):
        if not np.isfinite(signal).all():
            raise UndefinedMetric(f"{name} has NaN or infinite samples")
        if signal.size == 0 or signal.min() == signal.max():
            raise UndefinedMetric(f"{name} is silent")
    return clean, enhanced


def _projection(clean, enhanced):
    clean, enhanced = _as_defined(clean, enhanced)
    clean = clean - clean.mean()
    enhanced = enhanced - enhanced.mean()
    return clean, enhanced, _dot(enhanced, clean) / _dot(clean, clean)


def _dot(first, second):
    # Not np.dot: BLAS sums in another order for another number of threads.
    return float(np.sum(first * second))


def _require_seconds(signal, sample_rate, seconds):
    if signal.size < seconds * sample_rate:
        raise UndefinedMetric(
            f"{signal.size / sample_rate:.3f} s is shorter than {seconds:g} s"
        )


def _finite(value):
    if not np.isfinite(value):
        raise UndefinedMetric(f"the result is {value}")
    return float(value)


def _text(error):
    reason = error.args[0] if error.args else type(error).__name__
    return reason.decode() if isinstance(reason, bytes) else str(reason)
