"""The other adapters in plain Python: one frame, one loop.

Written from the definitions, not from the package; slow on purpose.
"""

import math
import struct

WORD = 1 << 64


def rolloff(magnitudes, share):
    """Return the first bin below which the share of the energy lies."""
    total = sum(m * m for m in magnitudes)
    running = 0.0
    for f, m in enumerate(magnitudes):
        running += m * m
        if running >= share * total:
            return min(f, len(magnitudes) - 2)
    raise ValueError("no share of the energy reached")


def audible(magnitudes, floor_db):
    """Return the magnitudes, none further below the maximum than allowed."""
    least = max(magnitudes) * 10 ** (floor_db / 20)
    return [max(m, least) for m in magnitudes]


def falling(magnitudes, floor_db):
    """Return the bin after which the envelope of what follows falls most."""
    heard = audible(magnitudes, floor_db)
    drops = []
    for f in range(len(heard) - 1):
        now, following = max(heard[f:]), max(heard[f + 1 :])
        drops.append((now - following) / now if now > 0 else 0.0)
    return drops.index(max(drops))


def slope(magnitudes, n_bins, floor_db):
    """Return the bin after which the smoothed log-magnitude falls most."""
    if max(magnitudes) == 0:
        return 0
    logs = [math.log(m) for m in audible(magnitudes, floor_db)]
    last = len(logs) - 1

    def average(f):
        near = range(f - n_bins // 2, f + n_bins // 2 + 1)
        return sum(logs[min(max(k, 0), last)] for k in near) / n_bins

    falls = [average(f) - average(f + 1) for f in range(last)]
    # Sums in another order differ in the last digits: the first of equals.
    return next(f for f in range(last) if falls[f] > max(falls) - 1e-12)


def smoothed(frames, t, n_frames):
    """Return frame t averaged with its neighbours, zeros beyond the ends."""
    total = [0.0] * len(frames[t])
    for u in range(t - n_frames // 2, t + n_frames // 2 + 1):
        if 0 <= u < len(frames):
            total = [a + b for a, b in zip(total, frames[u], strict=True)]
    return [value / n_frames for value in total]


def random_split(magnitudes, seed):
    """Return the bin drawn by the hash of a frame's bits."""
    spread, mixer = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9

    def signed(word):
        word %= WORD
        return word - WORD if word >= WORD // 2 else word

    def mix(word):
        word = signed((word ^ (word >> 31)) * mixer)
        return word ^ (word >> 29)

    total = 0
    for f, magnitude in enumerate(magnitudes):
        (bits,) = struct.unpack("<i", struct.pack("<f", magnitude))
        place = f + 1
        total += (bits ^ place) * (2 * place + 1) * spread
    salt = seed * spread % (WORD // 2)
    mixed = mix(mix(signed(total + salt)))
    return mixed % (len(magnitudes) - 1)
