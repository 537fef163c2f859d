"""Mixtures for validation are kept as they were made."""

from types import SimpleNamespace

import numpy as np
import soundfile

from speechbrain_dfkd.data.mixtures import write_fixed_mixtures
from speechbrain_dfkd.data.pairs import Pair

RATE, FRAMES = 8000, 400


def mixture(split, index):
    """Make noise whose peaks are the greatest that a mixer allows."""
    assert split == "fixed"
    wavs = np.random.default_rng(index).uniform(-0.5, 0.5, (2, FRAMES))
    wavs[:, [3, 5]] = 1.0, -1.0
    return tuple(wavs.astype("float32"))


def test_files_hold_the_mixtures_at_their_level_up_to_full_scale(tmp_path):
    source = SimpleNamespace(frames=FRAMES, sample_rate=RATE, mixture=mixture)
    pairs = write_fixed_mixtures(source, 11, tmp_path, n_jobs=1)
    assert list(pairs) == [f"mixture_{index:04d}" for index in range(11)]
    for index, (name, pair) in enumerate(pairs.items()):
        made = Pair(*mixture("fixed", index))
        for side, wav, expected in zip(Pair._fields, pair, made, strict=True):
            assert wav.path == tmp_path / side / f"{name}.wav"
            assert (wav.sample_rate, wav.frames) == (RATE, FRAMES)
            found, rate = soundfile.read(wav.path)
            assert rate == RATE and soundfile.info(wav.path).subtype == "PCM_16"
            # +1 is a step beyond 16 bits; all else is rounded to the nearest.
            assert found[3] == 1 - 2**-15 and found[5] == -1
            found[3] = 1
            assert np.abs(found - expected).max() <= 2**-16
