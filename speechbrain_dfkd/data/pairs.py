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
    whole = Pair(*(root / side for side in Pair._fields))
    return {"train": whole} | within_split if _has_pairs(whole) else {}


def _find(folder_of):
    found = {}
    for split, names in _SPLIT_NAMES.items():
        for name in names:
            folders = Pair(*(folder_of(name, side) for side in Pair._fields))
            if split not in found and _has_pairs(folders):
                found[split] = folders
    return found


def _has_pairs(folders):
    return all(map(has_recordings, folders))


def match_pairs(splits: list) -> list[dict[str, Pair]]:
    """Join ``{id: path}`` of the noisy and the clean side of every split.

    Example
    -------
    >>> match_pairs([({"a": "noisy/a.wav"}, {"a": "clean/a.wav"})])
    [{'a': Pair(noisy='noisy/a.wav', clean='clean/a.wav')}]
    """
    alone = [
        f"{side[name]} has no {twin} twin"
        for noisy, clean in splits
        for side, other, twin in (
            (noisy, clean, "clean"),
            (clean, noisy, "noisy"),
        )
        for name in sorted(side.keys() - other.keys())
    ]
    if alone:
        raise UserError(
            "data_folder must hold a clean and a noisy file of every "
            "utterance, of one name up to the suffix, got "
            f"{len(alone)} without a twin:\n{listing(alone)}\n"
            "Unpack the archives again, or remove these files"
        )
    return _joined(splits)


def _joined(splits):
    return [
        {
            name: Pair(noisy[name], clean[name])
            for name in sorted(noisy.keys() & clean.keys())
        }
        for noisy, clean in splits
    ]


def check_pairs(pairs: dict[str, Pair]) -> None:
    """Refuse a split unless its twins match in rate and length."""
    rates = Counter(wav.sample_rate for pair in pairs.values() for wav in pair)
    usual = max(rates, key=rates.get, default=None)
    faults = Faults()
    with faults.kept():
        _refuse(
            [
                f"{wav.path} has {wav.sample_rate} Hz"
                for pair in pairs.values()
                for wav in pair
                if wav.sample_rate != usual
            ],
            f"one sample rate in a split, here {usual} Hz",
            "Resample these files",
        )
    with faults.kept():
        _refuse(
            [
                f"{name}: noisy {pair.noisy.frames}, clean {pair.clean.frames}"
                for name, pair in pairs.items()
                if pair.noisy.frames != pair.clean.frames
            ],
            "noisy and clean files of the same length in samples",
            "Unpack the archives again, or remove both files of these "
            "utterances (mp3 and other lossy encoders add samples: encode "
            "both sides alike, or keep wav or FLAC)",
        )
    faults.raise_if_any()


def _refuse(lines, constraint, remedy):
    if lines:
        raise UserError(
            f"data_folder must hold {constraint}, got {len(lines)} that "
            f"differ:\n{listing(lines)}\n{remedy}"
        )


def refuse_identical(pairs: dict[str, Pair]) -> None:
    """Refuse a split in which no pair has noise, by some of its pairs.

    There is nothing to learn from such a split, nor to test on it; it comes
    of a clean folder that was unpacked twice.
    """
    some = list(pairs.values())[:: -(-len(pairs) // _LOOKED_AT) or 1]
    same = [str(pair.noisy.path) for pair in some if _is_identical(pair)]
    if same and len(same) == len(some):
        raise UserError(
            "data_folder must hold noisy recordings beside the clean ones, got "
            f"{len(same)} equal to their clean twins, all of a split that were "
            f"looked at:\n{listing(same)}\nunpack the noisy archive again"
        )
    if same:
        logger.warning(
            "%d of %d noisy recordings are equal to their clean twins:\n%s",
            len(same),
            len(some),
            listing(same),
        )


def _is_identical(pair):
    noisy, clean = (soundfile.read(wav.path)[0] for wav in pair)
    return np.array_equal(noisy, clean)


def scan_pairs(scan: Scan, splits: list) -> list[dict[str, Pair]]:
    """Check and resample ``{id: path}`` of both sides of every split.

    Return the pairs of ``WavFile`` to train on by their ids, or raise one
    error for all that is wrong with them.
    """
    pairs = _joined(splits)
    paths = [p for split in pairs for pair in split.values() for p in pair]
    found = dict(zip(paths, scan.find(paths), strict=True))
    scanned = [
        {name: Pair(*(found[path] for path in pair))
         for name, pair in split.items()}
        for split in pairs
    ]  # fmt: skip
    faults = Faults()
    with faults.kept():
        match_pairs(splits)
    with faults.kept():
        raise_if_bad(found.values())
    for split in scanned:
        good = {
            name: pair
            for name, pair in split.items()
            if not any(isinstance(wav, BadAudio) for wav in pair)
        }
        for check in (check_pairs, refuse_identical):
            with faults.kept():
                check(good)
    faults.raise_if_any()
    return [
        {name: Pair(*map(scan.used, pair)) for name, pair in split.items()}
        for split in scanned
    ]
