"""How many of the package's files a run goes through."""

import sys
import threading
from pathlib import Path

import pytest
from recipe_runs import ROOT, dfkd_options

PACKAGE = str(ROOT / "speechbrain_dfkd")


def is_imported_now(frame):
    """Tell whether a module of the package is being imported."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


@pytest.fixture
def entered():
    """Return the files of the package in which a function was called."""
    files = set()

    def note(frame, event, argument):
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(PACKAGE):
            name = str(Path(path).relative_to(PACKAGE))
            if name not in files and not is_imported_now(frame):
                files.add(name)

    threading.settrace(note)
    sys.settrace(note)
    yield files
    sys.settrace(None)
    threading.settrace(None)


@pytest.mark.slow
def test_who_reads_a_run_opens_at_most_forty_files(
    call, corpus, tmp_path, entered
):
    options = dfkd_options(corpus, tmp_path, number_of_epochs=1)
    code, _, stderr = call(options)
    assert code == 0, stderr
    assert {"experiment.py", "training/dfkd_brain.py"} < entered
    assert len(entered) <= 40, "\n".join(sorted(entered))
