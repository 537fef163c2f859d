"""Noisy recordings and their clean twins."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from speechbrain_dfkd.data.audio import BadAudio, Scan, raise_if_bad
from speechbrain_dfkd.data.audio_files import has_recordings
from speechbrain_dfkd.errors import Faults, UserError, listing

logger = logging.getLogger(__name__)

_SPLIT_NAMES = {
    "train": ("train",),
    "valid": ("valid", "val", "dev", "validation"),
    "test": ("test",),
}
# So many pairs of a split tell whether its noisy recordings have noise.
_LOOKED_AT = 10


class Pair(NamedTuple):
    """The noisy and the clean side of one utterance, both of one type."""

    noisy: Any
    clean: Any


def find_plain(root: Path) -> dict[str, Pair]:
    """Return the Pair of folders of each split of a plain data set.

    It has ``clean`` and ``noisy``, or these two in ``train``, ``valid`` and
    ``test``, or these three in each of the two: ``"train"`` alone where
    nothing is split, and nothing where there is no pair of folders.
    """
    within_split = _find(lambda name, side: root / name / side)
    if "train" in within_split:
        return within_split
    within_side = _find(lambda name, side: root / side / name)
    if "train" in within_side:
        return within_side
    whole = Pair(root / "noisy", root / "clean")
    is_there = all(map(has_recordings, whole))
    return {"train": whole} | within_split if is_there else {}


def _find(folder_of):
    found = {}
    for split, names in _SPLIT_NAMES.items():
        for name in names:
            folders = Pair(folder_of(name, "noisy"), folder_of(name, "clean"))
            if split not in found and all(map(has_recordings, folders)):
                found[split] = folders
    return found


def require_twins(splits: list) -> None:
    """Refuse ``{id: path}`` of a noisy and a clean side with other ids."""
    alone = []
    for sides in splits:
        for side, other, twin in zip(
            sides, sides[::-1], ("clean", "noisy"), strict=True
        ):
            names = sorted(side.keys() - other.keys())
            alone += [f"{side[name]} has no {twin} twin" for name in names]
    _refuse(
        alone,
        "a clean and a noisy file of every utterance, of one name up to the "
        "suffix",
        "without a twin",
        "Unpack the archives again, or remove these files",
    )


def check_rates(pairs: dict[str, Pair]) -> None:
    """Refuse a split whose recordings have several sample rates."""
    wavs = [wav for pair in pairs.values() for wav in pair]
    rates = Counter(wav.sample_rate for wav in wavs)
    usual = max(rates, key=rates.get, default=None)
    _refuse(
        [
            f"{wav.path} has {wav.sample_rate} Hz"
            for wav in wavs
            if wav.sample_rate != usual
        ],
        f"one sample rate in a split, here {usual} Hz",
        "that differ",
        "Resample these files",
    )


def check_lengths(pairs: dict[str, Pair]) -> None:
    """Refuse a split whose twins have different lengths."""
    _refuse(
        [
            f"{name}: noisy {noisy.frames}, clean {clean.frames}"
            for name, (noisy, clean) in pairs.items()
            if noisy.frames != clean.frames
        ],
        "noisy and clean files of the same length in samples",
        "that differ",
        "Unpack the archives again, or remove both files of these utterances "
        "(mp3 and other lossy encoders add samples: encode both sides alike, "
        "or keep wav or FLAC)",
    )


def _refuse(lines, constraint, which, remedy):
    if lines:
        raise UserError(
            f"data_folder must hold {constraint}, got {len(lines)} {which}:\n"
            f"{listing(lines)}\n{remedy}"
        )


def refuse_identical(pairs: dict[str, Pair]) -> None:
    """Refuse a split in which no pair has noise, by some of its pairs."""
    some = list(pairs.values())[:: -(-len(pairs) // _LOOKED_AT) or 1]
    same = [
        noisy.path
        for noisy, clean in some
        if np.array_equal(*(soundfile.read(w.path)[0] for w in (noisy, clean)))
    ]
    if same and len(same) == len(some):
        raise UserError(
            "data_folder must hold noisy recordings beside the clean ones, got "
            f"{len(same)} equal to their clean twins, all of a split that were "
            f"looked at:\n{listing(same)}\nunpack the noisy archive again"
        )
    if same:
        logger.warning(
            "%d of %d noisy recordings are equal to their clean twins:\n%s",
            len(same), len(some), listing(same),
        )  # fmt: skip


def scan_pairs(scan: Scan, splits: list) -> list[dict[str, Pair]]:
    """Check and resample ``{id: path}`` of both sides of every split.

    Return the pairs of ``WavFile`` to train on by their ids, or raise one
    error for all that is wrong with them.
    """
    paths = [p for split in splits for side in split for p in side.values()]
    found = dict(zip(paths, scan.find(paths), strict=True))
    scanned = [
        {
            name: Pair(found[noisy[name]], found[clean[name]])
            for name in sorted(noisy.keys() & clean.keys())
        }
        for noisy, clean in splits
    ]
    faults = Faults()
    with faults.kept():
        require_twins(splits)
    with faults.kept():
        raise_if_bad(found.values())
    for split in scanned:
        good = {
            name: pair
            for name, pair in split.items()
            if not any(isinstance(wav, BadAudio) for wav in pair)
        }
        for check in (check_rates, check_lengths, refuse_identical):
            with faults.kept():
                check(good)
    faults.raise_if_any()
    return [
        {name: Pair(*map(scan.used, pair)) for name, pair in split.items()}
        for split in scanned
    ]
