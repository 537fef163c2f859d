"""Errors go to standard error, and nothing that is none."""

import logging
import subprocess
import sys

SCRIPT = """
import speechbrain as sb
from speechbrain_dfkd.errors import hide_figure_warning, show_errors
hide_figure_warning()
import speechbrain.utils.train_logger
sb.create_experiment_directory({folder!r}, save_env_desc=False)
show_errors()
raise RuntimeError("a bug")
"""


def test_a_bug_is_shown_on_standard_error_and_logged(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(folder=str(tmp_path))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug\n")
    assert "a bug" not in done.stdout
    assert "RuntimeError: a bug" in (tmp_path / "log.txt").read_text()


def test_other_warnings_of_the_same_module_are_shown(caplog):
    from speechbrain_dfkd.errors import hide_figure_warning

    logger = logging.getLogger("speechbrain.utils.train_logger")
    before = logger.filters[:]
    hide_figure_warning()
    logger.warning("torchvision is not available - cannot save figures")
    logger.warning("something else")
    logger.filters[:] = before
    assert [record.getMessage() for record in caplog.records] == [
        "something else"
    ]
