"""The one error that a recipe shows to its user without a traceback."""

import math


class UserError(ValueError):
    """Something that the user of a recipe can put right.

    The message reads ``<name> must <constraint>, got <value>; <next step>``.
    The recipe scripts print it and exit with code 2.
    """


def check_setting(name: str, value, fulfilled: bool, constraint: str):
    """Refuse a value of a data set's settings.

    Arguments
    ---------
    name : str
        The key.
    value : object
        What it was set to.
    fulfilled : bool
        Whether it can be used.
    constraint : str
        What it must be.

    Raises
    ------
    UserError
        Unless it can be used.

    Example
    -------
    >>> check_setting("valid_mixtures", 0, False, "at least 1")
    Traceback (most recent call last):
    speechbrain_dfkd.errors.UserError: valid_mixtures must be at least 1, \
got 0; change it in --dataset
    """
    if not fulfilled:
        raise UserError(
            f"{name} must be {constraint}, got {value!r}; change it in "
            "--dataset"
        )


def is_number(value, least: float = -math.inf, most: float = math.inf) -> bool:
    """Tell whether a setting is a number from ``least`` to ``most``.

    Example
    -------
    >>> is_number(1), is_number(1, 2), is_number(True), is_number(math.nan)
    (True, False, False, False)
    """
    # True is an integer to Python.
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and least <= value <= most


def listing(items, limit=20):
    """Return ``items`` as indented lines, at most ``limit``, with the total.

    Arguments
    ---------
    items : iterable of str
        What is wrong, one line each.
    limit : int
        The most lines to show.

    Returns
    -------
    str

    Example
    -------
    >>> print(listing(["a.wav", "b.wav", "c.wav"], limit=2))
      a.wav
      b.wav
      ... 3 in all
    """
    items = list(items)
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  ... {len(items)} in all")
    return "\n".join(lines)
