"""New mixtures from the recordings of a small corpus."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.epoch_loop import EpochCounter
from torch import Tensor

from speechbrain_dfkd.data import dataset, mixing
from speechbrain_dfkd.errors import check_setting
from speechbrain_dfkd.files import stable_hash

# Below this level, here -80 dB of full scale, a segment holds no noise.
SILENCE = 1e-4
# Draws before a segment is left without noise.
ATTEMPTS = 10


@dataclasses.dataclass(eq=False)
class Remix:
    """Adds the noise of other recordings to a segment of clean speech.

    The noise is that of a random utterance (noisy minus clean), in one half
    of the segments that of two, the second up to 10 dB below the first.
    Exchanging noises among utterances is the Remix of Defossez et al., Real
    Time Speech Enhancement in the Waveform Domain, Interspeech 2020, arXiv
    2006.12847; drawing the SNR and a second noise is ours. All is a function
    of (seed, epoch, utterance id).
    """

    crop: dataset.RandomCrop
    recordings: Sequence[dict]
    snr_db: Sequence[float]
    coloured: bool = True

    def __call__(self, path: str, utterance_id: str, length: float) -> Tensor:
        """Return the noisy segment whose speech is ``crop``'s, [frames]."""
        speech = self.crop(path, utterance_id, length)
        draw = self._generator(utterance_id)
        noise = self._noise(draw, len(speech))
        if draw.random() < 0.5:
            second = self._noise(draw, len(speech))
            noise = noise + second * mixing.from_db(draw.uniform(-10, 0))
        snr_db = draw.uniform(*self.snr_db)
        if mixing.rms(noise) > SILENCE:
            return mixing.mix(speech, noise, snr_db)
        return speech  # there is no ratio to silence

    def _generator(self, utterance_id: str) -> Generator:
        epoch = self.crop.epoch_counter.current
        key = stable_hash("remix", self.crop.seed, epoch, utterance_id)
        return np.random.default_rng(key)

    def _noise(self, draw: Generator, frames: int) -> Tensor:
        """Return noise of level 1, or zeros where none was found."""

        def one() -> Tensor:
            noise = self._read(draw, frames)
            return mixing.random_filter(noise, draw) if self.coloured else noise

        noise = mixing.audible(one, SILENCE, ATTEMPTS)
        silence = torch.zeros(frames)
        return silence if noise is None else noise / mixing.rms(noise)

    def _read(self, draw: Generator, frames: int) -> Tensor:
        pair = self.recordings[draw.integers(len(self.recordings))]
        rate = self.crop.sample_rate
        available = round(pair["length"] * rate)
        start = int(draw.integers(max(available - frames, 0) + 1))
        part = rate, start, min(frames, available)
        noise = dataset.read_wav(pair["noisy_wav"], *part)
        noise = noise - dataset.read_wav(pair["clean_wav"], *part)
        return noise.repeat(-(-frames // len(noise)))[:frames]


def remix_recordings(
    train_annotation: str | Path,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
    snr_db: Sequence[float] = (-5.0, 15.0),
    repeats: int = 1,
    coloured: bool = True,
) -> DynamicItemDataset:
    """Make a training set of random segments, mixed anew in each epoch.

    For corpora of few recordings; in YAML, ``make_train:
    !name:speechbrain_dfkd.data.remix.remix_recordings``.

    Arguments
    ---------
    train_annotation, segment_seconds, sample_rate, seed, epoch_counter
        As for ``speechbrain_dfkd.data.dataset.crop_recordings``.
    snr_db : (float, float)
        The range of the mixtures' signal-to-noise ratio, in dB.
    repeats : int
        Segments of each utterance in an epoch. More than 1 makes an epoch of
        a small corpus longer than its validation.
    coloured : bool
        Whether each noise gets another spectrum (Valin 2018, arXiv
        1709.08243): more kinds of noise, each of them harder to learn.
    """
    is_count = isinstance(repeats, int) and repeats > 0
    is_bool = isinstance(coloured, bool)
    is_range = mixing.is_range_db(snr_db)
    check_setting("snr_db", snr_db, is_range, "[least, most] in dB")
    check_setting("repeats", repeats, is_count, "an integer above 0")
    check_setting("coloured", coloured, is_bool, "True or False")
    cropped = dataset.crop_recordings(
        train_annotation, segment_seconds, sample_rate, seed, epoch_counter
    )
    recordings, crop = cropped.data, cropped.crop
    utterances = {
        f"{name}-{i}" if i else name: entry
        for i in range(repeats)
        for name, entry in recordings.items()
    }
    mixed = DynamicItemDataset(utterances, output_keys=dataset.OUTPUT_KEYS)
    takes = ["clean_wav", "id", "length"]
    remix = Remix(crop, list(recordings.values()), snr_db, coloured)
    mixed.add_dynamic_item(remix, takes, "noisy_sig")
    mixed.add_dynamic_item(crop, takes, "clean_sig")
    return mixed
