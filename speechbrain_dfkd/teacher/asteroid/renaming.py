"""Moves weights from Asteroid's names to ours."""

import re
from collections.abc import Callable, Sequence

from torch import Tensor


def renamed(state: dict, rules: Sequence[tuple]) -> dict:
    """Return a ``state_dict`` under other names.

    Arguments
    ---------
    state : dict of str to Tensor
        Weights. A name that no rule matches stays, and is found unexpected
        where the weights are compared with a network's.
    rules : sequence of (pattern, replacement)
        Regular expressions as for ``re.sub``, applied in turn to each name.

    Example
    -------
    >>> renamed({"norm.gamma": 1, "conv.bias": 2}, [(r"gamma$", "weight")])
    {'norm.weight': 1, 'conv.bias': 2}
    """
    return {_renamed(name, rules): value for name, value in state.items()}


def _renamed(name, rules):
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def joined(
    state: dict,
    pattern: str,
    parts: tuple[str, str],
    name: str,
    join: Callable[[Sequence[Tensor]], Tensor],
) -> dict:
    """Return a ``state_dict`` in which pairs of entries are one.

    Arguments
    ---------
    state : dict of str to Tensor
        Weights. An entry without a partner stays as it is.
    pattern : str
        A regular expression that finds the first entry of each pair.
    parts : (str, str)
        What names the two entries of a pair.
    name : str
        Takes the place of both parts.
    join : callable
        Makes one tensor of a pair.

    Example
    -------
    >>> state = {"0.re.bias": 1, "0.im.bias": 2, "1.re.bias": 3}
    >>> joined(state, r"bias$", ("re.", "im."), "", sum)
    {'1.re.bias': 3, '0.bias': 3}
    """
    state, first, second = dict(state), *parts
    for one in [key for key in state if re.search(pattern, key)]:
        two = one.replace(first, second)
        if first in one and two in state:
            pair = state.pop(one), state.pop(two)
            state[one.replace(first, name)] = join(pair)
    return state
