"""DFKD and the signal-to-noise ratios in plain numpy: one item, one loop.

Written from the equations, not from the package, to be read and checked by
hand; slow on purpose.
"""

import math

import numpy as np


def stft(wav, n_fft, hop):
    """Return [bins, frames]: periodic Hann, centred, reflected edges."""
    window = [
        0.5 - 0.5 * math.cos(2 * math.pi * n / n_fft) for n in range(n_fft)
    ]
    padded = np.pad(wav, n_fft // 2, mode="reflect")
    columns = []
    for frame in range(1 + len(wav) // hop):
        piece = padded[frame * hop : frame * hop + n_fft]
        columns.append(np.fft.rfft(piece * window))
    return np.array(columns).T


def crossover(magnitudes, eps=1e-8):
    """Return the bin after which the envelope of one frame rises most."""
    steepest, where, envelope = -1.0, 0, magnitudes[0]
    for f in range(len(magnitudes) - 1):
        following = max(envelope, magnitudes[f + 1])
        slope = (following - envelope) / (envelope + eps)
        if slope > steepest:
            steepest, where = slope, f
        envelope = following
    return where


def cosine_distance(student, teacher, eps=1e-8):
    """Return 1 - cos of the angle of two complex vectors, 0 if no teacher."""
    dot = student_power = teacher_power = 0.0
    for s, t in zip(student, teacher, strict=True):
        dot += t.real * s.real + t.imag * s.imag
        student_power += abs(s) ** 2
        teacher_power += abs(t) ** 2
    student_norm, teacher_norm = student_power**0.5, teacher_power**0.5
    if teacher_norm <= eps:
        return 0.0
    return 1 - dot / (max(student_norm, eps) * teacher_norm)


def dfkd_frame(student, teacher, beta=0.5, eps=1e-8):
    """Return the low term, the high term and the crossover of one frame."""
    m = crossover([abs(t) for t in teacher], eps)
    low = cosine_distance(student[: m + 1], teacher[: m + 1], eps)
    errors = [
        (abs(t) - abs(s)) ** 2
        for s, t in zip(student[m:], teacher[m:], strict=True)
    ]
    cosine = cosine_distance(student[m:], teacher[m:], eps)
    high = beta * cosine + (1 - beta) * sum(errors) / len(errors)
    return low, high, m


def dfkd_from_spectra(pairs, beta=0.5, eps=1e-8):
    """Return l_low, l_high and the crossovers of all frames of all items.

    ``pairs`` holds the spectra (student, teacher) of each item, already cut
    to the frames that count.
    """
    lows, highs, crossovers = [], [], []
    for student, teacher in pairs:
        for t in range(teacher.shape[1]):
            low, high, m = dfkd_frame(student[:, t], teacher[:, t], beta, eps)
            lows.append(low)
            highs.append(high)
            crossovers.append(m)
    return sum(lows) / len(lows), sum(highs) / len(highs), crossovers


def dfkd(students, teachers, n_valid, n_fft=512, hop=128, beta=0.5):
    """Return what ``dfkd_from_spectra`` does, from padded waveforms.

    ``n_valid`` holds the number of samples before the padding of each item.
    """
    pairs = []
    for student, teacher, valid in zip(
        students, teachers, n_valid, strict=True
    ):
        n_frames = sum(
            1 for t in range(1 + len(teacher) // hop) if t * hop < valid
        )
        specs = []
        for wav in (student, teacher):
            wav = np.array(wav, dtype=np.float64)
            wav[valid:] = 0
            specs.append(stft(wav, n_fft, hop)[:, :n_frames])
        pairs.append(specs)
    return dfkd_from_spectra(pairs, beta)


def si_snr(estimate, target):
    """Return the scale-invariant ratio of one item without padding in dB."""
    estimate = estimate - np.mean(estimate)
    target = target - np.mean(target)
    signal = np.dot(estimate, target) / np.dot(target, target) * target
    noise = estimate - signal
    return 10 * math.log10(np.dot(signal, signal) / np.dot(noise, noise))


def snr(estimate, target):
    """Return the ratio of one item without padding in dB."""
    noise = estimate - target
    return 10 * math.log10(np.dot(target, target) / np.dot(noise, noise))
