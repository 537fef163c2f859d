"""The one error that a recipe shows to its user without a traceback."""


class UserError(ValueError):
    """Something that the user of a recipe can put right.

    The message reads ``<name> must <constraint>, got <value>; <next step>``.
    The recipe scripts print it and exit with code 2.
    """


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
