"""The training set that is mixed while it is trained on."""

import torch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import Dataset

from speechbrain_dfkd.data.dataset import crop_recordings
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.mixture_source import (
    MixtureSource,
    is_mixture_manifest,
    open_tables,
)
from speechbrain_dfkd.data.unreadable import ReplaceUnreadable
from speechbrain_dfkd.errors import check_setting


class Mixtures(Dataset):
    """An epoch's mixtures, each a function of (seed, epoch, index).

    Neither the number of workers nor a resume changes them, and processes
    that share an epoch's indices draw different ones. Items have ``id``,
    ``noisy_sig`` [frames], ``clean_sig`` [frames] and ``unreadable``, a list
    of recordings that had to be replaced.

    Arguments
    ---------
    source : MixtureSource
        Makes the mixtures.
    count : int
        Mixtures in an epoch.
    seed : int
        Any; another one gives other mixtures.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of the training. The workers of a DataLoader are started anew
        each epoch and get a copy with the epoch of that moment.
    """

    def __init__(
        self,
        source: MixtureSource,
        count: int,
        seed: int,
        epoch_counter: EpochCounter,
    ):
        self.source = source
        self.count = count
        self.seed = seed
        self.epoch_counter = epoch_counter

    def __len__(self):
        return self.count

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.count:
            raise IndexError(f"index must be below {self.count}, got {index}")
        epoch = self.epoch_counter.current
        noisy, clean, unreadable = self.source.mixture(self.seed, epoch, index)
        return {
            "id": f"mixture_{index}",
            "noisy_sig": torch.from_numpy(noisy),
            "clean_sig": torch.from_numpy(clean),
            "unreadable": unreadable,
        }


def mix_recordings(
    train_annotation,
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
        A mixture manifest, or one of synthesised pairs, whose segments are
        those of ``speechbrain_dfkd.data.dataset.crop_recordings``.
    segment_seconds : float
        Length of a training segment.
    sample_rate : int
        Of the recordings, in Hz.
    seed : int
        Of everything random.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Every epoch has other mixtures.
    mixer : Mixer
        How recordings are mixed.
    mixtures_per_epoch : int or None
        None: as many as recordings of speech. Not used for pairs.

    Returns
    -------
    torch.utils.data.Dataset

    Raises
    ------
    UserError
        If the manifest cannot be used, or a number is out of range.
    """
    if not is_mixture_manifest(train_annotation):
        pairs = crop_recordings(
            train_annotation, segment_seconds, sample_rate, seed, epoch_counter
        )
        return ReplaceUnreadable(pairs, seed, epoch_counter)
    tables = open_tables(train_annotation)
    count = (
        len(tables["speech"])
        if mixtures_per_epoch is None
        else mixtures_per_epoch
    )
    is_count = isinstance(count, int) and count > 0
    check_setting("mixtures_per_epoch", count, is_count, "an integer above 0")
    frames = round(segment_seconds * sample_rate)
    source = MixtureSource(
        **tables, mixer=mixer, frames=frames, sample_rate=sample_rate
    )
    return Mixtures(source, count, seed, epoch_counter)
