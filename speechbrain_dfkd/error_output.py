"""What a command prints to standard error: all of its errors, nothing else."""

import logging
import sys


def show_errors() -> None:
    """Write an unexpected error to standard error and to the log's files.

    SpeechBrain's hook, set with the experiment's folder, logs it to standard
    output in place of that, where ``2> errors.txt`` misses it.
    """
    sys.excepthook = _log_and_show


def _log_and_show(kind, error, trace):
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
    logger.addFilter(_is_no_figure_warning)


def _is_no_figure_warning(record):
    return "torchvision is not available" not in record.getMessage()
