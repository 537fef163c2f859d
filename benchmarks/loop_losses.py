"""The KD objectives as one would first write them: a loop for every sum.

Over items, frames and patches, on slices of one spectrum; the STFT and the
adapters are those of the objectives. What ``losses.py`` compares with.
"""

import functools

import torch

from speechbrain_dfkd.losses import (
    DFKDLoss,
    FrameSimilarity,
    SelectivePatches,
    SpectrumResponse,
    SubbandResponse,
    WaveformResponse,
)


def of(loss):
    """Return the loop that computes what an objective does."""
    kinds = [
        (WaveformResponse, waveform),
        (FrameSimilarity, similarity),
        (SelectivePatches, selective),
        (SubbandResponse, spectral),
        (SpectrumResponse, spectral),
        (DFKDLoss, spectral),
    ]
    for kind, compute in kinds:
        if isinstance(loss, kind):
            return functools.partial(compute, loss)
    raise ValueError(
        f"an objective must have a loop, got {type(loss).__name__}; write one"
    )


def waveform(loss, student, teacher, clean, lengths):
    """Return the negative SI-SNR, an item at a time."""
    values = []
    for ours, theirs, n in zip(
        student.wav, teacher.wav, valid_samples(clean, lengths), strict=True
    ):
        estimate = ours[:n] - ours[:n].mean()
        target = theirs[:n] - theirs[:n].mean()
        signal = (estimate @ target) / (target @ target) * target
        noise = (estimate - signal).square().sum()
        values.append(10 * (signal.square().sum() / noise).log10())
    return -sum(values) / len(values), {}


def valid_samples(clean, lengths):
    """Return the length of each item in samples."""
    return (lengths * clean.shape[1]).round().int().tolist()


def spectra_of(loss, wavs, lengths):
    """Return, for each item, the spectra [F, T] of its waveforms."""
    items = []
    counts = valid_samples(wavs[1], lengths)
    for i, n in enumerate(counts):
        cut = [torch.zeros_like(wav[i]) for wav in wavs]
        level = 1.0
        if loss.relative_level:
            level = wavs[1][i][:n].square().mean().sqrt()
        specs = []
        for j, wav in enumerate(wavs):
            cut[j] = torch.cat([wav[i][:n] / level, cut[j][n:]])
            n_frames = -(-n // loss.stft.hop_length)
            specs.append(loss.stft(cut[j][None])[0][:, :n_frames])
        items.append(specs)
    return items


def bands_of(loss, teacher):
    """Return (name, first bin, end, error) of each band in each frame."""
    n_bins, n_frames = teacher.shape
    if isinstance(loss, DFKDLoss):
        crossovers = loss.adapter(teacher.abs()[None])[0].tolist()
        return [
            [
                ("low", 0, m + 1, cosine),
                ("high", m, n_bins, functools.partial(mixed, loss.beta)),
            ]
            for m in crossovers
        ]
    edges = getattr(loss, "edges", [0, n_bins])
    error = functools.partial(compressed, loss.compression, loss.complex_share)
    bands = [
        (str(low), low, high, error)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    return [bands] * n_frames


def cosine(student, teacher):
    """Return the cosine distance of some bins of one frame."""
    norms = student.abs().norm() * teacher.abs().norm()
    return 1 - (teacher.conj() * student).real.sum() / norms


def mixed(beta, student, teacher):
    """Return DFKD's high-band error of some bins of one frame."""
    level = (teacher.abs() - student.abs()).square().mean()
    return beta * cosine(student, teacher) + (1 - beta) * level


def compressed(exponent, share, student, teacher):
    """Return the error of compressed spectra of some bins of one frame."""
    (s, s_mag), (t, t_mag) = (
        (x * power ** ((exponent - 1) / 2), power ** (exponent / 2))
        for x in (student, teacher)
        for power in [x.abs().square() + 1e-8]
    )
    level = (s_mag - t_mag).square()
    return (share * (s - t).abs().square() + (1 - share) * level).mean()


def spectral(loss, student, teacher, clean, lengths):
    """Return a spectral objective, a band of a frame at a time."""
    errors, weights = {}, {}
    for ours, theirs in spectra_of(loss, [student.wav, teacher.wav], lengths):
        energies = theirs.abs().square().sum(0) ** loss.energy_exponent
        for t, bands in enumerate(bands_of(loss, theirs)):
            weight = energies[t] / energies.mean()
            for name, first, end, error in bands:
                value = error(ours[first:end, t], theirs[first:end, t])
                errors.setdefault(name, []).append(weight * value)
                weights.setdefault(name, []).append(weight)
    return sum(sum(errors[name]) / sum(weights[name]) for name in errors), {}


def selective(loss, student, teacher, clean, lengths):
    """Return the selected patches' error, a patch at a time."""
    inner, kept = loss.objective, {}
    wavs = [student.wav, teacher.wav, clean]
    for ours, theirs, target in spectra_of(inner, wavs, lengths):
        patches = {}
        for t, bands in enumerate(bands_of(inner, theirs)):
            for name, first, end, error in bands:
                height = height_of(loss, name)
                for low in range(first - first % height, end, height):
                    bins = slice(max(low, first), min(low + height, end))
                    s, k, y = (x[bins, t] for x in (ours, theirs, target))
                    gap = float(error(s, y).detach() - error(k, y).detach())
                    patches.setdefault(name, []).append((gap, error(s, k)))
        for name, pairs in patches.items():
            kept.setdefault(name, []).extend(choose(pairs, loss.fraction))
    return sum(sum(errors) / len(errors) for errors in kept.values()), {}


def height_of(loss, name):
    """Return the height of the patches in a band."""
    if isinstance(loss.patch_bins, int):
        return loss.patch_bins
    return loss.patch_bins[f"l_{name}"]


def choose(pairs, fraction):
    """Return the errors of the patches of one item that are followed."""
    if fraction is None:
        return [error for gap, error in pairs if gap > 0]
    ordered = sorted((gap for gap, _ in pairs), reverse=True)
    least = ordered[max(int(fraction * len(pairs)), 1) - 1]
    return [error for gap, error in pairs if gap >= least]


def similarity(loss, student, teacher, clean, lengths):
    """Return frame similarity, a pair of frames at a time."""
    total = 0.0
    n_common = clean.shape[1] // loss.frame_samples
    names = zip(loss.student_features, loss.teacher_features, strict=True)
    for ours, theirs in names:
        errors = []
        for i, length in enumerate(lengths.tolist()):
            frames = [
                common_frames(outputs.features[name][i], length, n_common)
                for outputs, name in ((student, ours), (teacher, theirs))
            ]
            n_valid = round(length * n_common)
            for t in range(n_valid):
                for u in range(n_valid):
                    own, target = (f[t] @ f[u] for f in frames)
                    errors.append((own - target).square())
        total = total + sum(errors) / len(errors)
    return total, {}


def common_frames(feature, length, n_common):
    """Return the unit vectors of an item's common frames."""
    n_own = feature.shape[-1]
    flat = feature.flatten(0, -2)
    n_valid = round(length * n_own)
    flat = torch.cat([flat[:, :n_valid], 0 * flat[:, n_valid:]], dim=1)
    frames = []
    for i in range(n_common):
        start, end = i * n_own // n_common, -(-(i + 1) * n_own // n_common)
        frame = flat[:, start:end].mean(1)
        frames.append(frame / (frame.norm() + 1e-8))
    return frames
