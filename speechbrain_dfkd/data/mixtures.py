"""Mixtures of speech and noise: made while training, or written once."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from numpy.random import Generator
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import Dataset

from speechbrain_dfkd.data import audio
from speechbrain_dfkd.data.dataset import crop_recordings, read_wav
from speechbrain_dfkd.data.manifest import is_mixture_manifest, open_tables
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.pairs import Pair
from speechbrain_dfkd.data.recordings import Recordings
from speechbrain_dfkd.errors import check_setting
from speechbrain_dfkd.files import stable_hash, write_atomically


@dataclasses.dataclass
class MixtureSource:
    """Mixes random recordings; tables but the last are of mono ones at a rate.

    An impulse response may have a higher rate and several channels, the first
    of which is taken; without their table nothing is reverberated. ``frames``
    is the length of a mixture.
    """

    speech: Recordings
    noise: Recordings
    impulse_responses: Recordings | None
    mixer: Mixer
    frames: int
    sample_rate: int

    def mixture(self, *key: str | int) -> tuple[np.ndarray, np.ndarray]:
        """Return noisy and clean [frames] of a key as (seed, epoch, index)."""
        by_duration = self.mixer.noise_by_duration
        return self.mixer.mix(
            partial(self._piece, self.speech, False),
            partial(self._piece, self.noise, by_duration),
            self._response if self.impulse_responses else None,
            self.frames,
            self.sample_rate,
            np.random.default_rng(stable_hash(*key)),
        )

    def _piece(
        self, table: Recordings, by_duration: bool, most: int, rng: Generator
    ) -> np.ndarray:
        wav = table.draw(rng, by_duration)
        frames = min(most, wav.frames)
        start = int(rng.integers(wav.frames - frames + 1))
        return read_wav(wav.path, self.sample_rate, start, frames).numpy()

    def _response(self, rng: Generator) -> np.ndarray:
        samples, rate = audio.read_part(self.impulse_responses.draw(rng).path)
        if rate == self.sample_rate:
            return samples
        return audio.resample(samples, rate, self.sample_rate)


@dataclasses.dataclass(eq=False)
class Mixtures(Dataset):
    """An epoch's mixtures, each a function of (seed, epoch, index) alone."""

    source: MixtureSource
    count: int
    seed: int
    epoch_counter: EpochCounter

    def __len__(self):
        return self.count

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.count:
            raise IndexError(f"index must be below {self.count}, got {index}")
        epoch = self.epoch_counter.current
        mixture = self.source.mixture(self.seed, epoch, index)
        noisy, clean = map(torch.from_numpy, mixture)
        name = f"mixture_{index}"
        return {"id": name, "noisy_sig": noisy, "clean_sig": clean}


def mix_recordings(
    train_annotation: str | Path,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
    mixer: Mixer,
    mixtures_per_epoch: int | None,
) -> Dataset:
    """Make the training set of a manifest: mixed now, or before.

    Arguments
    ---------
    train_annotation : str or Path
        A mixture manifest, or one of pairs to take segments of.
    segment_seconds, sample_rate, seed, epoch_counter
        As for ``speechbrain_dfkd.data.dataset.crop_recordings``.
    mixer : Mixer
        How recordings are mixed.
    mixtures_per_epoch : int or None
        None: as many as recordings of speech. Not used for pairs.
    """
    if not is_mixture_manifest(train_annotation):
        return crop_recordings(
            train_annotation, segment_seconds, sample_rate, seed, epoch_counter
        )
    frames = round(segment_seconds * sample_rate)
    tables = open_tables(train_annotation).values()
    source = MixtureSource(*tables, mixer, frames, sample_rate)
    count = mixtures_per_epoch
    if count is None:
        count = len(source.speech)
    is_count = isinstance(count, int) and count > 0
    check_setting("mixtures_per_epoch", count, is_count, "an integer above 0")
    return Mixtures(source, count, seed, epoch_counter)


def write_fixed_mixtures(
    source: MixtureSource, count: int, folder: Path, n_jobs: int | None = None
) -> dict[str, Pair]:
    """Write ``count`` mixtures as 16-bit wavs, the same ones every time."""
    pairs = Parallel(n_jobs=n_jobs or cpu_count())(
        delayed(_write)(source, index, folder) for index in range(count)
    )
    return dict(pairs)


def _write(source: MixtureSource, index: int, folder: Path) -> tuple[str, Pair]:
    name, wavs = f"mixture_{index:04d}", []
    mixture = source.mixture("fixed", index)
    for side, signal in zip(Pair._fields, mixture, strict=True):
        path = folder / side / f"{name}.wav"
        content = audio.wav_bytes(audio.to_16_bits(signal), source.sample_rate)
        write_atomically(path, content)
        wavs.append(audio.WavFile(path, source.sample_rate, source.frames))
    return name, Pair(*wavs)
