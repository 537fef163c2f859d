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


def require(
    name: str, fulfilled: bool, constraint: str, value: object, advice: str
) -> None:
    """Refuse what is not fulfilled; ``value`` is shown as it is."""
    if not fulfilled:
        raise UserError(f"{name} must be {constraint}, got {value}; {advice}")


def check_setting(
    name: str, value: object, fulfilled: bool, constraint: str
) -> None:
    """Refuse a value of a data set's settings, unless it can be used."""
    require(name, fulfilled, constraint, repr(value), "change it in --dataset")


def is_number(
    value: object, least: float = -math.inf, most: float = math.inf
) -> bool:
    """Tell whether a setting is a number from ``least`` to ``most``."""
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

    Within ``whole_lists_in`` a longer list goes to that file, below its title.
    """
    items = [str(item).replace("\n", "\\n") for item in items]
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  ... {len(items)} in all")
    if len(items) > limit and _whole_list is not None:
        text = "".join(f"{line}\n" for line in ([title] * bool(title) + items))
        try:
            _whole_list.parent.mkdir(parents=True, exist_ok=True)
            with open(_whole_list, "ab") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
            lines[-1] += f", listed in {_whole_list}"
        except OSError as error:  # the refusal matters more than its list
            lines[-1] += f" ({_whole_list} cannot be written: {error.strerror})"
    return "\n".join(lines)


class Faults:
    """Collects the errors of several checks, to raise them as one."""

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

    def log_and_show(*exc_info):
        record = logging.LogRecord(
            __name__, logging.ERROR, __file__, 0, "Exception:", None, exc_info
        )
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)
        sys.__excepthook__(*exc_info)

    sys.excepthook = log_and_show


def hide_figure_warning() -> None:
    """Keep SpeechBrain from warning of torchvision, which is used nowhere."""
    logger = logging.getLogger("speechbrain.utils.train_logger")
    logger.addFilter(
        lambda record: "torchvision is not available" not in record.getMessage()
    )
