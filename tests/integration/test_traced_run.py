"""How many of the package's files a run goes through."""

import sys
import threading
from pathlib import Path

import pytest
from recipe_runs import ROOT, dfkd_options

PACKAGE = str(ROOT / "speechbrain_dfkd")


@pytest.fixture
def entered():
    """Return the files of the package in which a function was called."""
    files = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_name != "<module>":
            name = frame.f_code.co_filename
            if name.startswith(PACKAGE):
                files.add(str(Path(name).relative_to(PACKAGE)))

    threading.setprofile(note)
    sys.setprofile(note)
    yield files
    sys.setprofile(None)
    threading.setprofile(None)


@pytest.mark.slow
def test_a_reader_of_a_run_opens_at_most_forty_files(
    call, corpus, tmp_path, entered
):
    options = dfkd_options(corpus, tmp_path, number_of_epochs=1)
    code, _, stderr = call(options)
    assert code == 0, stderr
    assert len(entered) <= 40, sorted(entered)
