"""The objectives beside DFKD in plain numpy: one item, one loop.

Written from the equations, not from the package; slow on purpose. Spectra are
[bins, frames] of one item, cut to the frames that count.
"""

import math

import numpy as np
from dfkd_numpy import cosine_distance, crossover, stft


def cut_spectrum(wav, n_valid, n_fft=512, hop=128):
    """Return the spectrum of the frames centred before ``n_valid``."""
    wav = np.array(wav, dtype=np.float64)
    wav[n_valid:] = 0
    n_frames = sum(1 for t in range(1 + len(wav) // hop) if t * hop < n_valid)
    return stft(wav, n_fft, hop)[:, :n_frames]


def compressed_error(s, t, compression, complex_share):
    """Return the error of one bin; a tiny power keeps zero defined."""

    def compress(value):
        power = abs(value) ** 2 + 1e-8
        return value * power ** ((compression - 1) / 2), power ** (
            compression / 2
        )

    (s_value, s_mag), (t_value, t_mag) = compress(s), compress(t)
    difference = abs(s_value - t_value) ** 2
    return (
        complex_share * difference + (1 - complex_share) * (s_mag - t_mag) ** 2
    )


def spectrum_response(pairs, compression, complex_share, edges=()):
    """Return the mean error of each band over all frames of all items."""
    n_bins = len(pairs[0][0])
    bounds = [0, *edges, n_bins]
    means = []
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        frames = []
        for student, teacher in pairs:
            for t in range(student.shape[1]):
                errors = [
                    compressed_error(
                        student[f, t], teacher[f, t], compression, complex_share
                    )
                    for f in range(low, high)
                ]
                frames.append(sum(errors) / len(errors))
        means.append(sum(frames) / len(frames))
    return means


def energy_weights(teacher, exponent):
    """Return the weight of each frame of one item, one in the mean."""
    energies = [
        sum(abs(value) ** 2 for value in teacher[:, t]) ** exponent
        for t in range(teacher.shape[1])
    ]
    return [e / (sum(energies) / len(energies)) for e in energies]


def low_error(student, target):
    """Return DFKD's error of some bins of the low band."""
    return cosine_distance(student, target)


def high_error(student, target, beta=0.5):
    """Return DFKD's error of some bins of the high band."""
    errors = [
        (abs(t) - abs(s)) ** 2 for s, t in zip(student, target, strict=True)
    ]
    cosine = cosine_distance(student, target)
    return beta * cosine + (1 - beta) * sum(errors) / len(errors)


def dispatch_band(
    triples, in_band, error, patch_bins, fraction, split=crossover
):
    """Return the mean error of the patches chosen in one band.

    ``triples`` holds (student, teacher, clean) of each item, and
    ``in_band(f, m)`` tells whether bin f lies in the band of a frame whose
    crossover is m; ``split`` gives that of the teacher's magnitudes.
    """
    chosen = []
    for student, teacher, clean in triples:
        patches = []
        for t in range(teacher.shape[1]):
            m = split([abs(value) for value in teacher[:, t]])
            for first in range(0, len(teacher), patch_bins):
                end = min(first + patch_bins, len(teacher))
                bins = [f for f in range(first, end) if in_band(f, m)]
                if bins:
                    s, k, y = (x[bins, t] for x in (student, teacher, clean))
                    gap = error(s, y) - error(k, y)
                    patches.append((gap, error(s, k)))
        if fraction is None:
            chosen += [e for gap, e in patches if gap > 0]
        else:
            patches.sort(key=lambda pair: -pair[0])
            n_chosen = max(int(fraction * len(patches) + 1e-9), 1)
            chosen += [e for _, e in patches[:n_chosen]]
    return sum(chosen) / len(chosen) if chosen else 0.0


def common_frames(feature, n_frames):
    """Average a feature [channels, frames] over a number of equal spans.

    A frame that a span's border cuts belongs to both of its spans.
    """
    n_own = feature.shape[1]
    columns = []
    for i in range(n_frames):
        start = math.floor(i * n_own / n_frames)
        end = math.ceil((i + 1) * n_own / n_frames)
        columns.append(feature[:, start:end].mean(axis=1))
    return np.array(columns)


def similarity(frames):
    """Return the cosine between all pairs of frames [frames, channels]."""
    return np.array(
        [
            [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in frames]
            for a in frames
        ]
    )


def frame_similarity(pairs, n_frames):
    """Return the mean squared difference over all items' pairs of frames.

    ``pairs`` holds (student, teacher) features of each item and ``n_frames``
    the common frames of each.
    """
    errors = []
    for (student, teacher), n in zip(pairs, n_frames, strict=True):
        ours = similarity(common_frames(student, n))
        theirs = similarity(common_frames(teacher, n))
        errors += list(((ours - theirs) ** 2).ravel())
    return sum(errors) / len(errors)
