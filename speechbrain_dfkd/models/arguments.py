"""What every model of this package asks of its arguments."""

from collections.abc import Collection, Mapping


def check_choice(name: str, value: str, choices: Collection[str]):
    """Refuse a value that is not among the choices.

    Arguments
    ---------
    name : str
        What the message calls the value.
    value : str
        What was given.
    choices : collection of str
        What is allowed.

    Raises
    ------
    ValueError
        If ``value`` is not in ``choices``.

    Example
    -------
    >>> check_choice("mask", "relu", ("sigmoid", "relu"))
    >>> check_choice("mask", "tanh", ("sigmoid", "relu"))
    Traceback (most recent call last):
    ValueError: mask must be one of sigmoid, relu, got 'tanh'; see the \
docstring of the model
    """
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}; "
            "see the docstring of the model"
        )


def check_sizes(sizes: Mapping[str, int]):
    """Refuse sizes below 1.

    Arguments
    ---------
    sizes : mapping of str to int
        Sizes under the names that the message calls them by.

    Raises
    ------
    ValueError
        If a size is below 1.

    Example
    -------
    >>> check_sizes({"blocks": 8, "repeats": 0})
    Traceback (most recent call last):
    ValueError: repeats must be at least 1, got 0; the defaults of the \
model are the published sizes
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"{name} must be at least 1, got {size}; "
                "the defaults of the model are the published sizes"
            )


def check_even(name: str, size: int):
    """Refuse a size that cannot be halved.

    Arguments
    ---------
    name : str
        What the message calls the size.
    size : int
        The length of windows or chunks that overlap by half.

    Raises
    ------
    ValueError
        If ``size`` is odd.

    Example
    -------
    >>> check_even("filter_length", 32)
    >>> check_even("filter_length", 33)
    Traceback (most recent call last):
    ValueError: filter_length must be even, got 33; half of it is the step \
to the next
    """
    if size % 2:
        raise ValueError(
            f"{name} must be even, got {size}; half of it is the step to "
            "the next"
        )
