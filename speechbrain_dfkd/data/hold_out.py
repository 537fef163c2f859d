"""Splits a corpus by speaker, recording or room."""

import logging
from collections import Counter
from collections.abc import Iterable

from speechbrain_dfkd.errors import UserError, check_setting, is_number
from speechbrain_dfkd.files import stable_hash

logger = logging.getLogger(__name__)

_SHARE = "a share from 0 to 1"


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
