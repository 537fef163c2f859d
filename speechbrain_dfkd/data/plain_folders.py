"""Pairs in plain folders ``clean`` and ``noisy``, and their splits."""

from collections import Counter
from pathlib import Path

from speechbrain_dfkd.data.audio_files import has_recordings
from speechbrain_dfkd.data.pairs import Pair
from speechbrain_dfkd.errors import UserError, check_setting, is_number
from speechbrain_dfkd.files import stable_hash

_NAMES = {
    "train": ("train",),
    "valid": ("valid", "val", "dev", "validation"),
    "test": ("test",),
}


def find_plain(root: Path) -> dict:
    """Return the folders of each split that a plain data set has.

    Arguments
    ---------
    root : Path
        Holds ``clean`` and ``noisy``, or these two in ``train``, ``valid``
        and ``test``, or these three in each of the two.

    Returns
    -------
    dict
        ``{split: Pair of folders}``; ``"train"`` alone where nothing is
        split, and nothing where there is no pair of folders.
    """
    within_split = _find(lambda name, side: root / name / side)
    if "train" in within_split:
        return within_split
    within_side = _find(lambda name, side: root / side / name)
    if "train" in within_side:
        return within_side
    whole = Pair(*(root / side for side in Pair._fields))
    return {"train": whole} | within_split if _is_pair(whole) else {}


def _find(folder_of):
    found = {}
    for split, names in _NAMES.items():
        for name in names:
            folders = Pair(*(folder_of(name, side) for side in Pair._fields))
            if split not in found and _is_pair(folders):
                found[split] = folders
    return found


def _is_pair(folders):
    return all(map(has_recordings, folders))


def hold_out_speakers(pairs: dict, speakers: dict, shares: dict) -> dict:
    """Hold out some speakers of a data set that has one split.

    They are taken in the order of a hash of their names until the share of
    the recordings is reached; one with more than twice the share is passed
    over. Where that leaves nobody, single recordings are held out.

    Arguments
    ---------
    pairs : dict
        By id.
    speakers : dict
        ``{id: speaker}``.
    shares : dict
        ``{split: share of the recordings}``, in (0, 1).

    Returns
    -------
    dict
        ``{split: pairs}``, with what is left as ``"train"``.

    Raises
    ------
    UserError
        If a split would be empty.

    Example
    -------
    >>> names = [f"{speaker}_{i}" for speaker in "abcdefgh" for i in (1, 2)]
    >>> speakers = {name: name[0] for name in names}
    >>> held = hold_out_speakers(speakers, speakers, {"test": 0.1})
    >>> list(held["test"]), len(held["train"])
    (['e_1', 'e_2'], 14)
    """
    for split, share in shares.items():
        is_share = is_number(share, 0, 1)
        check_setting(f"{split}_share", share, is_share, "a share from 0 to 1")
    each = {name: name for name in pairs}
    for who in ({name: speakers[name] for name in pairs}, each):
        split_of = _draw(who, shares)
        found = {
            split: {n: pairs[n] for n in pairs if split_of[who[n]] == split}
            for split in ("train", *shares)
        }
        if all(found.values()):
            return found
    raise UserError(
        f"data_folder must hold enough pairs to hold out {shares}, got "
        f"{len(pairs)}; add some, or change these shares in --dataset"
    )


def _draw(who, shares):
    """Return ``{speaker: split}``."""
    sizes = Counter(who.values())
    left = sorted(sizes, key=stable_hash)
    split_of = {}
    for split, share in shares.items():
        wanted, taken = share * len(who), 0
        for speaker in list(left):
            size = sizes[speaker]
            fits = taken + size <= max(2 * wanted, 1)
            if taken < wanted and fits:
                split_of[speaker], taken = split, taken + size
                left.remove(speaker)
    return split_of | dict.fromkeys(left, "train")
