"""Checks the arguments with which Asteroid made a network."""

from collections.abc import Collection, Mapping

from speechbrain_dfkd.errors import UserError, listing

SAMPLE_RATES = (16000,)  # Hz


def complete_arguments(
    model_args: Mapping, defaults: Mapping, sizes: Collection[str]
) -> dict:
    """Return all arguments of a network of Asteroid's.

    Arguments
    ---------
    model_args : mapping
        Those in the file; an absent one has Asteroid's default.
    defaults : mapping
        All that we know, with Asteroid's defaults.
    sizes : collection of str
        Those that must be positive integers.

    Raises
    ------
    UserError
        Naming every argument that is unknown or no size.

    Example
    -------
    >>> complete_arguments({"n_src": 1}, {"n_src": 2, "n_heads": 4}, ["n_src"])
    {'n_src': 1, 'n_heads': 4}
    """
    problems = [
        f"{name}: {value!r}, which we do not know"
        for name, value in model_args.items()
        if name not in defaults
    ]
    arguments = {**defaults, **model_args}
    problems += [
        f"{name}: {arguments[name]!r}, not a positive integer"
        for name in sizes
        if not isinstance(arguments[name], int) or arguments[name] < 1
    ]
    _refuse(problems)
    return arguments


def check_arguments(
    arguments: Mapping, allowed: Mapping[str, Collection]
) -> None:
    """Refuse values that our networks do not implement.

    Arguments
    ---------
    arguments : mapping
        Of a network of Asteroid's.
    allowed : mapping of str to collection
        What some of them may be.

    Raises
    ------
    UserError
        Naming every argument with another value.

    Example
    -------
    >>> check_arguments({"mask_act": "relu"}, {"mask_act": ("relu",)})
    >>> check_arguments({"mask_act": "tanh"}, {"mask_act": ("relu",)})
    Traceback (most recent call last):
    speechbrain_dfkd.errors.UserError: its arguments must be those of a \
network that we have, got
      mask_act: 'tanh', not 'relu'
    choose a checkpoint without them
    """
    _refuse(
        f"{name}: {arguments[name]!r}, not {' or '.join(map(repr, values))}"
        for name, values in allowed.items()
        if arguments[name] not in values
    )


def _refuse(problems):
    lines = listing(problems)
    if lines:
        raise UserError(
            f"its arguments must be those of a network that we have, got\n"
            f"{lines}\nchoose a checkpoint without them"
        )
