"""Splits a corpus into training and validation."""

from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError, check_setting, is_number


def hold_out(items, names, share: float, what: str):
    """Split recordings by a hash of their names into kept and held out.

    Adding recordings moves none from one split to the other.

    Arguments
    ---------
    items : iterable
        Recordings or pairs.
    names : iterable of (str or Path)
        Their names, which must not depend on where the corpus lies.
    share : float
        How many to hold out, in (0, 1), on average.
    what : str
        Names the recordings in the error.

    Returns
    -------
    kept, held : list
        Both in the order of ``items``.

    Raises
    ------
    UserError
        If one of them is empty, or the share is none.

    Example
    -------
    >>> hold_out([10, 20, 30, 40], ["a", "b", "c", "d"], 0.5, "numbers")
    ([20, 40], [10, 30])
    """
    is_share = is_number(share, 0, 1)
    check_setting("valid_share", share, is_share, "a share from 0 to 1")
    kept, held = [], []
    for item, name in zip(items, names, strict=True):
        is_held = stable_hash(name) < share * 2**64
        (held if is_held else kept).append(item)
    if not kept or not held:
        raise UserError(
            f"valid_share must leave and hold out some of the {what}, got "
            f"{share}, by which {len(kept)} train and {len(held)} validate; "
            "pass another, e.g. --dataset '{valid_share: 0.2}'"
        )
    return kept, held
