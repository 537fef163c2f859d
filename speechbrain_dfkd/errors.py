"""The one error that a recipe shows to its user without a traceback."""

import contextlib
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


class UserError(ValueError):
    """Something that the user of a recipe can put right.

    The message reads ``<name> must <constraint>, got <value>; <next step>``.
    The recipe scripts print it and exit with code 2.
    """


def check_setting(
    name: str, value: object, fulfilled: bool, constraint: str
) -> None:
    """Refuse a value of a data set's settings, unless it can be used.

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


def is_number(
    value: object, least: float = -math.inf, most: float = math.inf
) -> bool:
    """Tell whether a setting is a number from ``least`` to ``most``.

    Example
    -------
    >>> is_number(1), is_number(1, 2), is_number(True), is_number(math.nan)
    (True, False, False, False)
    """
    # True is an integer to Python.
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and least <= value <= most


# Where ``listing`` puts what it does not show; None: nowhere.
_whole_list: Path | None = None


@contextlib.contextmanager
def whole_lists_in(path: str | Path) -> Iterator[None]:
    """Let ``listing`` write what is too long to be shown to a new file."""
    global _whole_list
    _whole_list = Path(path)
    try:
        _whole_list.unlink(missing_ok=True)
        yield
    finally:
        _whole_list = None


def listing(items: Iterable, limit: int = 20, title: str = "") -> str:
    """Return ``items`` as indented lines, at most ``limit``, with the total.

    Within ``whole_lists_in`` a longer list goes to that file, whole, below a
    line with the title.

    Example
    -------
    >>> print(listing(["a.wav", "b.wav", "c.wav"], limit=2))
      a.wav
      b.wav
      ... 3 in all
    """
    items = [str(item).replace("\n", "\\n") for item in items]
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  ... {len(items)} in all{_listed(items, title)}")
    return "\n".join(lines)


def _listed(items: list, title: str) -> str:
    """Append a list to the file of ``whole_lists_in``; return where it is."""
    if _whole_list is None:
        return ""
    text = "".join(f"{line}\n" for line in ([title] * bool(title) + items))
    try:
        _whole_list.parent.mkdir(parents=True, exist_ok=True)
        with open(_whole_list, "ab") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:  # the refusal matters more than its list
        return f" ({_whole_list} cannot be written: {error.strerror})"
    return f", listed in {_whole_list}"


class Faults:
    """Collects the errors of several checks, to raise them as one.

    Example
    -------
    >>> faults = Faults()
    >>> for number in (1, 2):
    ...     with faults.kept():
    ...         raise UserError(f"fault {number}")
    >>> faults.raise_if_any()
    Traceback (most recent call last):
    speechbrain_dfkd.errors.UserError: fault 1
    <BLANKLINE>
    fault 2
    """

    def __init__(self):
        self.errors = []

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the ``UserError`` of the body; go on after it."""
        try:
            yield
        except UserError as error:
            self.errors.append(error)

    def raise_if_any(self) -> None:
        """Raise what was kept."""
        if self.errors:
            raise UserError("\n\n".join(map(str, self.errors)))


def show_errors() -> None:
    """Write an unexpected error to standard error and to the log's files.

    SpeechBrain's hook, set with the experiment's folder, logs it to standard
    output in place of that, where ``2> errors.txt`` misses it.
    """
    sys.excepthook = _log_and_show


def _log_and_show(kind: type, error: BaseException, trace) -> None:
    record = logging.LogRecord(
        __name__, logging.ERROR, __file__, 0, "Exception:", None,
        (kind, error, trace),
    )  # fmt: skip
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
    sys.__excepthook__(kind, error, trace)


def hide_figure_warning() -> None:
    """Keep SpeechBrain from warning of torchvision, which is used nowhere."""
    logger = logging.getLogger("speechbrain.utils.train_logger")
    logger.addFilter(
        lambda record: "torchvision is not available" not in record.getMessage()
    )
