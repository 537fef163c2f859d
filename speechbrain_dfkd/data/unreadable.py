"""Replaces, counts and names what could not be read in an epoch."""

import logging

from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import Dataset

from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError, check_setting, is_number, listing

logger = logging.getLogger(__name__)

# From this many mixtures on a share of them means something.
_ENOUGH = 100
_TRIES = 10


class ReplaceUnreadable(Dataset):
    """A training set whose unreadable items give way to others.

    Which ones is a function of (seed, epoch, index). Items get ``unreadable``,
    a list of what is wrong with those that were replaced.

    Arguments
    ---------
    dataset : Dataset
        Raises a ``UserError`` for an item that cannot be read.
    seed : int
        Any; another one gives other replacements.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of the training.
    """

    def __init__(
        self, dataset: Dataset, seed: int, epoch_counter: EpochCounter
    ):
        self.dataset = dataset
        self.seed = seed
        self.epoch_counter = epoch_counter

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        key, found = (self.seed, self.epoch_counter.current, index), []
        for attempt in range(_TRIES):
            try:
                return {**self.dataset[index], "unreadable": found}
            except UserError as error:
                found.append(str(error).partition(";")[0])
            index = stable_hash("replace", *key, attempt) % len(self)
        raise UserError(
            f"recordings must be readable, got {_TRIES} in a row that are not:"
            f"\n{listing(found)}\nput them back, or run the recipe without "
            "skip_prep"
        )


class UnreadableFiles:
    """What had to be replaced, and whether it is too much.

    Of several processes each counts its own.

    Arguments
    ---------
    max_share : float
        How many of the mixtures may need another recording, in [0, 1].

    Raises
    ------
    UserError
        If that is no share.

    Example
    -------
    >>> unreadable = UnreadableFiles(max_share=0.5)
    >>> unreadable.append([[], ["noise/a.wav"]])
    >>> unreadable.finish(epoch=1)
    {'unreadable': 1}
    >>> UnreadableFiles(max_share=0.5).finish(epoch=2)
    {}
    """

    def __init__(self, max_share: float):
        check_setting(
            "max_unreadable_share",
            max_share,
            is_number(max_share, 0, 1),
            "a share from 0 to 1",
        )
        self.max_share = max_share
        self.mixtures = 0
        self.affected = 0
        self.paths = set()

    def append(self, unreadable: list):
        """Count a batch: for each mixture the paths that were replaced.

        Raises
        ------
        UserError
            If too many mixtures of the epoch were affected.
        """
        self.mixtures += len(unreadable)
        self.affected += sum(map(bool, unreadable))
        self.paths.update(path for paths in unreadable for path in paths)
        if self.mixtures >= _ENOUGH:
            self._check()

    def finish(self, epoch: int) -> dict:
        """Name the files of an epoch in the log; return what to log."""
        if not self.paths:
            return {}
        self._check()
        logger.warning(
            "epoch %d: %d recordings could not be read in training; %d of %d "
            "mixtures took another:\n%s",
            epoch,
            len(self.paths),
            self.affected,
            self.mixtures,
            listing(sorted(self.paths)),
        )
        return {"unreadable": len(self.paths)}

    def _check(self):
        if self.affected > self.max_share * self.mixtures:
            raise UserError(
                f"at most max_unreadable_share = {self.max_share:g} of the "
                "mixtures must need another recording, got "
                f"{self.affected} of {self.mixtures}, for\n"
                f"{listing(sorted(self.paths))}\nput these files back, run "
                "the recipe without skip_prep, or raise that share in "
                "--dataset; it then goes on"
            )
