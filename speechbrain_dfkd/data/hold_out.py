"""Splits a corpus into training and validation."""

import logging
import re
from pathlib import PurePath

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


def group_of(name, patterns) -> str:
    """Return the group of a recording: what the first pattern to match finds.

    Arguments
    ---------
    name : str or Path
        Its path within the corpus. Where no pattern matches this without its
        suffix, it is a group of its own.
    patterns : list of str
        Regular expressions, each with one group in parentheses.

    Example
    -------
    >>> group_of("clean/book_7_chp_1_reader_0123_9.wav", GROUPS["speech"])
    'reader_0123'
    >>> group_of("noise/door_Freesound_validated_378417_1.wav", GROUPS["noise"])
    'Freesound_validated_378417'
    >>> group_of("noise/1-100032-B-0.wav", GROUPS["noise"])
    '1-100032'
    >>> group_of("noise/fan_0001.wav", GROUPS["noise"])
    'noise/fan_0001.wav'
    """
    name = PurePath(name)
    stem = name.with_suffix("").as_posix()
    matches = (re.search(pattern, stem) for pattern in patterns)
    return next((match[1] for match in matches if match), str(name))


def hold_out(items, groups, share: float, what: str, optional: bool = False):
    """Split recordings by a hash of their groups into kept and held out.

    A group is not divided. Adding recordings moves none from one split to the
    other.

    Arguments
    ---------
    items : iterable
        Recordings or pairs.
    groups : iterable of (str or Path)
        What each belongs to: its reader, or the recording it was cut from; its
        name where it stands alone. It must not depend on where the corpus lies.
    share : float
        How many groups to hold out, in (0, 1), on average.
    what : str
        Names the recordings in the error.
    optional : bool
        Whether both splits get all of the recordings where these are too few
        to hold out any.

    Returns
    -------
    kept, held : list
        Both in the order of ``items``.

    Raises
    ------
    UserError
        If one of them is empty and they are not optional, or the share is
        none.

    Example
    -------
    >>> hold_out([10, 20, 30, 40], ["a", "b", "c", "a"], 0.5, "numbers")
    ([20], [10, 30, 40])
    """
    is_share = is_number(share, 0, 1)
    check_setting("valid_share", share, is_share, "a share from 0 to 1")
    groups = list(groups)
    held_groups = {g for g in groups if stable_hash(g) < share * 2**64}
    kept, held = [], []
    for item, group in zip(items, groups, strict=True):
        (held if group in held_groups else kept).append(item)
    counts = f"{len(kept)} train and {len(held)} validate"
    if optional and not (kept and held):
        return items, items
    if not kept or not held:
        raise UserError(
            f"valid_share must leave and hold out some of the {what}, got "
            f"{share}, by which {counts}; pass another, e.g. --dataset "
            "'{valid_share: 0.2}'"
        )
    logger.info(
        "Of the %s, in %d groups, %s (%d groups)",
        what, len({*groups}), counts, len(held_groups),
    )  # fmt: skip
    return kept, held


def check_groups(groups):
    """Refuse patterns that ``group_of`` cannot use.

    Arguments
    ---------
    groups : dict
        Lists of patterns by the keys of ``GROUPS``.

    Raises
    ------
    UserError
        Names the key.

    Example
    -------
    >>> check_groups({**GROUPS, "noise": ["take_("]})
    Traceback (most recent call last):
    speechbrain_dfkd.errors.UserError: valid_groups.noise must be a list of \
regular expressions, each with one group (...), got ['take_(']; change it in \
--dataset
    """
    is_whole = isinstance(groups, dict) and groups.keys() == GROUPS.keys()
    check_setting(
        "valid_groups", groups, is_whole, f"lists for {', '.join(GROUPS)}"
    )
    for kind, patterns in groups.items():
        check_setting(
            f"valid_groups.{kind}",
            patterns,
            isinstance(patterns, list) and all(map(_is_pattern, patterns)),
            "a list of regular expressions, each with one group (...)",
        )


def _is_pattern(pattern):
    try:
        return re.compile(pattern).groups == 1
    except (re.error, TypeError):
        return False
