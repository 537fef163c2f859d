"""A hash that is the same in every process, unlike Python's own."""

import hashlib
import os


def stable_hash(*key) -> int:
    """Return an integer of 64 bits that is a function of a key alone.

    Arguments
    ---------
    key : int, str or Path
        Parts of the key.

    Example
    -------
    >>> stable_hash(1, "a") == stable_hash("1/a") != stable_hash(2, "a")
    True
    """
    # File names need not be UTF-8.
    text = os.fsencode("/".join(map(str, key)))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
