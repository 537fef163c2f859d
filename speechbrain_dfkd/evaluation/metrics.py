"""Metrics of one enhanced utterance; workers need no torch for them."""

import ctypes
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pesq
import pystoi
from pesq import cypesq

from speechbrain_dfkd.errors import UserError

Wav = np.ndarray
RATE = 16000
PESQ_MIN_SECONDS = 0.25
# 30 frames of 25.6 ms, one every 12.8 ms: one segment of STOI.
STOI_MIN_SECONDS = 0.3968
# Ratios of energies beyond this (138 dB) are rounding errors of float32 audio.
MAX_ENERGY_RATIO = 1 / float(np.finfo(np.float32).eps) ** 2


class UndefinedMetric(ValueError):
    """The metric has no value for this utterance; the message says why."""


def pesq_wb(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Wide-band PESQ, as a MOS-LQO from 1.0 to 4.64 (ITU-T P.862.2)."""
    return _pesq(clean, enhanced, sample_rate, "wb")


def pesq_nb(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Narrow-band PESQ, as a MOS-LQO from 1.0 to 4.55 (ITU-T P.862.1).

    It is of the signals at 16 kHz, as scores on DNS2020's test sets are.
    """
    return _pesq(clean, enhanced, sample_rate, "nb")


def stoi(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Short-time objective intelligibility, at most 1 (Taal et al., 2011)."""
    clean, enhanced = _as_defined(clean, enhanced)
    _require_seconds(clean, sample_rate, STOI_MIN_SECONDS)
    with warnings.catch_warnings():
        # pystoi would only warn, and return 1e-5 as if it were a score.
        warnings.filterwarnings("error", "Not enough STFT", RuntimeWarning)
        try:
            return _finite(pystoi.stoi(clean, enhanced, sample_rate))
        except RuntimeWarning as warning:
            reason = "fewer than 30 frames of speech without silence"
            raise UndefinedMetric(reason) from warning


def si_sdr(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).

    With the means removed and ``a = <enhanced, clean> / <clean, clean>``, it is
    ``10 log10(|a clean|^2 / |enhanced - a clean|^2)``.

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


def output_gain_db(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Level of the clean speech within enhanced in dB, which SI-SDR ignores.

    It is ``20 log10 |<enhanced, clean>| / <clean, clean>`` with means removed,
    the scale ``a`` of ``si_sdr``; 0 dB is the level of the reference.
    """
    clean, enhanced, scale = _projection(clean, enhanced)
    target = scale**2 * _dot(clean, clean)
    if _dot(enhanced, enhanced) >= MAX_ENERGY_RATIO * target:
        raise UndefinedMetric("minus infinite: enhanced holds nothing of clean")
    return float(20 * np.log10(abs(scale)))


def correlation(clean: Wav, enhanced: Wav, sample_rate: int = RATE) -> float:
    """Cosine of enhanced and clean, means removed; below 0: it is inverted."""
    clean, enhanced, scale = _projection(clean, enhanced)
    ratio = _dot(clean, clean) / _dot(enhanced, enhanced)
    return float(np.clip(scale * np.sqrt(ratio), -1, 1))


@dataclass(frozen=True)
class Metric:
    """A metric, and how the results show its mean; called as its function."""

    function: Callable[[Wav, Wav, int], float]
    heading: str  # with the unit
    decimals: int
    definition: str
    ranks: bool = True  # more is better: it can choose an epoch
    in_validation: bool = True  # else only a test measures it

    def __call__(self, clean: Wav, enhanced: Wav, sample_rate: int) -> float:
        """Return the metric of an utterance."""
        return self.function(clean, enhanced, sample_rate)


# The one place that names them, in the order of the columns.
METRICS = {
    "pesq_wb": Metric(
        pesq_wb,
        "PESQ-WB",
        3,
        "mean wide-band PESQ (ITU-T P.862.2, MOS-LQO), package pesq",
    ),
    "pesq_nb": Metric(
        pesq_nb,
        "PESQ-NB",
        3,
        "mean narrow-band PESQ (ITU-T P.862.1, MOS-LQO), of the signals at "
        "16 kHz, package pesq",
        in_validation=False,
    ),
    "stoi": Metric(
        stoi,
        "STOI",
        4,
        "mean STOI (Taal et al., 2011; not extended), package pystoi",
    ),
    "si_sdr": Metric(
        si_sdr,
        "SI-SDR [dB]",
        2,
        "mean SI-SDR in dB (Le Roux et al., 2019), means removed",
    ),
    "gain_db": Metric(
        output_gain_db,
        "gain [dB]",
        2,
        "mean level of the clean speech within the output, in dB relative to "
        "clean: 20 log10 |<output, clean>| / <clean, clean>",
        ranks=False,
    ),
    "correlation": Metric(
        correlation,
        "corr.",
        3,
        "mean cosine between the output and clean, from -1 to 1; below 0 the "
        "output is the negative of the speech",
        ranks=False,
    ),
}


def validation_metrics() -> dict[str, Metric]:
    """Return the metrics that each epoch's validation measures."""
    return {name: m for name, m in METRICS.items() if m.in_validation}


def best_metrics() -> list[str]:
    """Return the names of those by which the best epoch can be chosen."""
    return [name for name, m in validation_metrics().items() if m.ranks]


def _pesq(clean: Wav, enhanced: Wav, sample_rate: int, band: str) -> float:
    if sample_rate != RATE:
        raise UserError(
            f"sample_rate must be {RATE} Hz for PESQ, got "
            f"{sample_rate}; resample the audio"
        )
    clean, enhanced = _as_defined(clean, enhanced)
    _require_seconds(clean, sample_rate, PESQ_MIN_SECONDS)
    if reason := pesq_excess(clean, sample_rate, band):
        raise UndefinedMetric(reason)
    try:
        return _finite(pesq.pesq(sample_rate, clean, enhanced, band))
    except pesq.PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        if isinstance(reason, bytes):
            reason = reason.decode()
        is_full = isinstance(error, pesq.OutOfMemoryError)
        raise (MemoryError if is_full else UndefinedMetric)(reason) from error


# What the C code of the package pesq holds; it writes on without a check.
# Its arrays (pesq.h, pesqmod.c of version 0.0.4) end at 50 utterances and at
# 1000 intervals of bad frames; beyond, its score is wrong, or it crashes.
PESQ_UTTERANCES = 50
# An utterance lasts 200 ms and the pause to the next 188 ms at least, so that
# the 51st begins after 19.4 s.
PESQ_SURE_SECONDS = 19.0
# An interval of bad frames takes 8 frames of 16 ms at least: 128 s for 1000.
PESQ_MAX_SECONDS = 120.0


class _Signal(ctypes.Structure):
    """SIGNAL_INFO of pesq.h."""

    _fields_ = [
        ("names_of_path_and_file", ctypes.c_char * (512 + 128)),
        *(
            (n, ctypes.c_long)
            for n in ("samples", "apply_swap", "input_filter")
        ),
        *((n, ctypes.c_void_p) for n in ("data", "vad", "log_vad")),
    ]


def pesq_excess(clean: Wav, sample_rate: int, band: str) -> str | None:
    """Say why PESQ cannot hold a reference [L], not silent; None where it can.

    The bands "wb" and "nb" filter the speech each in its own way.
    """
    seconds = len(clean) / sample_rate
    sure, most = PESQ_SURE_SECONDS, PESQ_MAX_SECONDS
    if seconds <= sure:
        return None
    if seconds > most:
        return f"{seconds:.1f} s is longer than {most:g} s, which PESQ holds"
    try:
        found = count_utterances(clean, sample_rate, band)
    except AttributeError:  # its C functions are hidden
        return (
            f"{seconds:.1f} s is longer than {sure:g} s, and this build of "
            "pesq does not tell whether it holds them"
        )
    # The array of 50 is written to where another one begins.
    if found < PESQ_UTTERANCES:
        return None
    return (
        f"{found} utterances in {seconds:.1f} s, PESQ holds fewer than "
        f"{PESQ_UTTERANCES}"
    )


def count_utterances(clean: Wav, sample_rate: int, band: str) -> int:
    """Return how many utterances PESQ finds in a reference.

    The package does not tell, so its C function is called with room for all.
    """
    clean = (clean / np.abs(clean).max()).astype(np.float32)
    # ERROR_INFO, whose first member counts; what lies behind its end is ours.
    info = (ctypes.c_long * 2**17)()
    flag, message = ctypes.c_long(0), ctypes.c_char_p()
    error = ctypes.byref(flag), ctypes.byref(message)
    length, kind = len(clean), {"nb": 1, "wb": 2}[band]
    signals = [
        _Signal(samples=length, input_filter=kind, data=clean.ctypes.data)
        for _ in ("reference", "degraded")
    ]
    library = ctypes.CDLL(cypesq.__file__)
    library.select_rate(ctypes.c_long(sample_rate), *error)
    library.pesq_measure(*map(ctypes.byref, signals), info, *error)
    return info[0]


def _as_defined(clean: Wav, enhanced: Wav) -> tuple[Wav, Wav]:
    clean, enhanced = (np.asarray(w, np.float64) for w in (clean, enhanced))
    if clean.shape != enhanced.shape or clean.ndim != 1:
        raise UndefinedMetric(
            f"clean and enhanced must be 1-D and equally long, got shapes "
            f"{clean.shape} and {enhanced.shape}"
        )
    for name, signal in (("clean", clean), ("enhanced", enhanced)):
        if not np.isfinite(signal).all():
            raise UndefinedMetric(f"{name} has NaN or infinite samples")
        if signal.size == 0 or np.ptp(signal) == 0:
            raise UndefinedMetric(f"{name} is silent")
    return clean, enhanced


def _projection(clean: Wav, enhanced: Wav) -> tuple[Wav, Wav, float]:
    """Return both without their means, and the scale of clean in enhanced."""
    clean, enhanced = (w - w.mean() for w in _as_defined(clean, enhanced))
    return clean, enhanced, _dot(enhanced, clean) / _dot(clean, clean)


def _dot(first: Wav, second: Wav) -> float:
    # Not np.dot: BLAS sums in another order for another number of threads.
    return float(np.sum(first * second))


def _require_seconds(signal: Wav, sample_rate: int, least: float) -> None:
    if (seconds := signal.size / sample_rate) < least:
        raise UndefinedMetric(f"{seconds:.3f} s is shorter than {least:g} s")


def _finite(value: float) -> float:
    if not np.isfinite(value):
        raise UndefinedMetric(f"the result is {value}")
    return float(value)
