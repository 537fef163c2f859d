"""Finds the recordings of a folder, and the clean twins of noisy ones."""

import itertools
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from speechbrain_dfkd.data.audio import BadAudio, Scan, raise_if_bad
from speechbrain_dfkd.errors import Faults, UserError, listing

logger = logging.getLogger(__name__)

# What libsndfile reads, and what it does not.
SUFFIXES = (
    ".wav .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .au .snd .caf .w64 "
    ".rf64 .sph"
).split()
_OTHER_AUDIO = (
    ".m4a .mp4 .m4b .aac .wma .webm .mka .amr .3gp .ape .wv .tta .mpc .ac3 "
    ".dsf .ra .spx .mp2 .shn .g722 .gsm"
).split()


def recordings_below(folder: Path) -> list[Path]:
    """Return the sorted audio files below a folder, without hidden ones."""
    visible = sorted(_visible(folder), key=lambda path: path.parts)
    found = [path for path in visible if path.suffix.lower() in SUFFIXES]
    other = [_shown(p) for p in visible if p.suffix.lower() in _OTHER_AUDIO]
    if other:
        logger.warning(
            f"{len(other)} audio files of kinds that cannot be read are left "
            f"out:\n{listing(other, 5, 'left out:')}\nconvert them to wav or "
            "FLAC to use them"
        )
    # No library could open these, nor print them.
    if bad := [_shown(path) for path in found if _shown(path) != str(path)]:
        raise UserError(
            "names of recordings and their folders must be text in UTF-8, got "
            f"{len(bad)} that are not:\n{listing(bad)}\nrename them, e.g. "
            "with `convmv -f latin1 -t utf8`"
        )
    return found


def has_recordings(folder: Path) -> bool:
    """Tell whether a folder has what ``recordings_below`` lists."""
    return any(path.suffix.lower() in SUFFIXES for path in _visible(folder))


def _visible(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(
        folder, onerror=_refuse_unlistable, followlinks=True
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name)


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refuse_unlistable(error: OSError) -> None:
    # A folder that is not there has no recordings, but os.walk would also
    # leave out those of one that it may not read.
    if not isinstance(error, FileNotFoundError):
        raise UserError(
            f"{error.filename} must be a folder that can be listed, got: "
            f"{error.strerror}; put its rights right, or remove it"
        ) from error


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Return recordings below ``folder``, one side of a split, by their ids.

    The id is the name without its suffix, after the names of its sub-folders
    except those that it repeats; accents are the same in either of their two
    encodings, of which macOS prefers one and Linux the other.
    """

    def name_of(path: Path) -> str:
        parts = path.relative_to(folder).with_suffix("").parts
        kept = [
            part
            for part, after in itertools.pairwise(parts)
            if not after.startswith((f"{part}_", f"{part}-"))
        ]
        return unicodedata.normalize("NFC", "-".join([*kept, parts[-1]]))

    return by_id(paths, name_of, "name", "have one name each in a folder")


def by_id(
    paths: Iterable[Path], id_of: Callable, kind: str, constraint: str
) -> dict[str, Path]:
    """Return recordings by what ``id_of`` finds in a path, once each."""
    found, problems = {}, []
    for path in paths:
        name = id_of(path)
        if name is None:
            problems.append(f"{path} has no {kind}")
        elif found.setdefault(name, path) != path:
            problems.append(f"{path} has the {kind} of {found[name]}")
    if problems:
        raise UserError(
            f"noisy and clean recordings must {constraint}, got "
            f"{len(problems)} others:\n{listing(problems)}\nrename or remove "
            "these files"
        )
    return found


def speaker_of(path: Path, folder: Path) -> str:
    """Return the "p1" of ``p1/001.wav`` or ``p1_001.wav`` below a folder."""
    first, *rest = path.relative_to(folder).parts
    name = first if rest else path.stem.split("_")[0]
    return unicodedata.normalize("NFC", name)


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
    """Return the Pair of folders of each split of a plain data set, if any.

    ``clean`` and ``noisy`` (all is ``"train"``) may be in ``train``, ``valid``
    and ``test``, or these in each of the two.
    """
    within_split = _find(lambda split, side: root / split / side)
    within_side = _find(lambda split, side: root / side / split)
    for found in (within_split, within_side):
        if "train" in found:
            return found
    whole = Pair(root / "noisy", root / "clean")
    is_there = all(map(has_recordings, whole))
    return {"train": whole} | within_split if is_there else {}


def _find(folder_of: Callable) -> dict[str, Pair]:
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
    for noisy, clean in splits:
        for side, other, twin in (
            (noisy, clean, "clean"),
            (clean, noisy, "noisy"),
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
    other = [wav for wav in wavs if wav.sample_rate != usual]
    _refuse(
        [f"{wav.path} has {wav.sample_rate} Hz" for wav in other],
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


def _refuse(lines: list, constraint: str, which: str, remedy: str) -> None:
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
            f"{len(same)} of {len(some)} noisy recordings are equal to their "
            f"clean twins:\n{listing(same)}"
        )


def scan_pairs(scan: Scan, splits: list) -> list[dict[str, Pair]]:
    """Check and resample all splits; raise one error for all that is wrong."""
    paths = [p for split in splits for side in split for p in side.values()]
    found = dict(zip(paths, scan.find(paths), strict=True))
    checks = [(require_twins, splits), (raise_if_bad, found.values())]
    scanned = []
    for noisy, clean in splits:
        split = {}
        for name in sorted(noisy.keys() & clean.keys()):
            pair = Pair(found[noisy[name]], found[clean[name]])
            if not any(isinstance(wav, BadAudio) for wav in pair):
                split[name] = pair
        for check in (check_rates, check_lengths, refuse_identical):
            checks.append((check, split))
        scanned.append(split)
    faults = Faults()
    for check, checked in checks:
        with faults.kept():
            check(checked)
    faults.raise_if_any()
    return [
        {name: Pair(*map(scan.used, pair)) for name, pair in split.items()}
        for split in scanned
    ]
