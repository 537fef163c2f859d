"""Splits a corpus by speaker, recording or room."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath

from speechbrain_dfkd.errors import UserError, check_setting, is_number
from speechbrain_dfkd.files import stable_hash

logger = logging.getLogger(__name__)

# What in the name of a recording names its group.
GROUPS = {
    # The reader, in the DNS Challenge and in LibriVox, LibriSpeech, VCTK.
    "speech": [
        r"(reader_\d+)",
        r"(?:^|[/_])(\d+)-\d+-\d+$",
        r"(?:^|/)([ps]\d+)_\d+(?:_mic\d)?$",
    ],
    # The recording that several were cut from, in Freesound and in ESC-50.
    "noise": [r"(Freesound\w*?_\d+)", r"(\d-\d+)-[A-Z](?:-\d+)?$"],
    # The room, in SLR28.
    "impulse_responses": [r"((?:small|medium|large)room/Room\d+)"],
}
_SHARE = "a share from 0 to 1"


def group_of(name: str | Path, patterns: list[str]) -> str:
    """Return what the first pattern to match finds in a name, else the name."""
    name = PurePath(name)
    stem = name.with_suffix("").as_posix()
    matches = (re.search(pattern, stem) for pattern in patterns)
    return next((match[1] for match in matches if match), str(name))


def hold_out(
    items: Iterable,
    groups: Iterable,
    share: float,
    what: str,
    optional: bool = False,
) -> tuple[list, list]:
    """Split ``items`` by a hash of their groups into kept and held out.

    Adding recordings moves none from one split to the other. What is
    ``optional`` serves both where there is too little of it to hold out any.
    """
    check_setting("valid_share", share, is_number(share, 0, 1), _SHARE)
    groups, kept, held = list(groups), [], []
    held_groups = {g for g in groups if stable_hash(g) < share * 2**64}
    for item, group in zip(items, groups, strict=True):
        (held if group in held_groups else kept).append(item)
    counts = f"{len(kept)} train and {len(held)} validate"
    if not (kept and held):
        if optional:
            return items, items
        raise UserError(
            f"valid_share must leave and hold out some of the {what}, got "
            f"{share}, by which {counts}; pass another, e.g. --dataset "
            "'{valid_share: 0.2}'"
        )
    logger.info(
        f"Of the {what}, in {len({*groups})} groups, {counts} "
        f"({len(held_groups)} groups)"
    )
    return kept, held


def hold_out_speakers(
    pairs: dict, speakers: dict[str, str], shares: dict[str, float]
) -> dict[str, dict]:
    """Return ``{split: pairs}``: what is left is ``"train"``.

    Speakers are held out in the order of a hash until a split has its share;
    one with more than twice that is passed over. Where nobody is left, single
    recordings are held out.
    """
    for split, share in shares.items():
        is_share = is_number(share, 0, 1)
        check_setting(f"{split}_share", share, is_share, _SHARE)
    each = {name: name for name in pairs}
    for who in ({name: speakers[name] for name in pairs}, each):
        split_of = _draw(who, shares)
        found = {split: {} for split in ("train", *shares)}
        for name, pair in pairs.items():
            found[split_of[who[name]]][name] = pair
        if all(found.values()):
            return found
    raise UserError(
        f"data_folder must hold enough pairs to hold out {shares}, got "
        f"{len(pairs)}; add some, or change these shares in --dataset"
    )


def _draw(who: dict[str, str], shares: dict[str, float]) -> dict[str, str]:
    sizes = Counter(who.values())
    split_of, speakers = {}, sorted(sizes, key=stable_hash)
    for split, share in shares.items():
        wanted, taken = share * len(who), 0
        for speaker in speakers:
            size = sizes[speaker]
            fits = taken + size <= max(2 * wanted, 1)
            if speaker not in split_of and taken < wanted and fits:
                split_of[speaker], taken = split, taken + size
    return dict.fromkeys(sizes, "train") | split_of


def check_groups(groups: dict) -> None:
    """Refuse patterns that ``group_of`` cannot use."""
    is_whole, lists = groups.keys() == GROUPS.keys(), ", ".join(GROUPS)
    check_setting("valid_groups", groups, is_whole, f"lists for {lists}")
    constraint = "a list of regular expressions, each with one group (...)"
    for kind, patterns in groups.items():
        fits = isinstance(patterns, list) and all(map(_is_pattern, patterns))
        check_setting(f"valid_groups.{kind}", patterns, fits, constraint)


def _is_pattern(pattern: object) -> bool:
    try:
        return re.compile(pattern).groups == 1
    except (re.error, TypeError):
        return False
