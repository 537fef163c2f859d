"""What a plain ``pytest`` leaves out, what brings it back, and the line."""

import shutil
from pathlib import Path

import pytest
import torch

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"
ALONE = ["-p", "no:xdist"]
LINE = "*{} slow tests were left out; to run all: pytest --all"
TESTS = """
import pytest

@pytest.mark.slow
@pytest.mark.parametrize("i", [1, 2])
def test_slow(i):
    pass

def test_quick():
    pass
"""


@pytest.fixture
def run(pytester):
    """Return a function that runs two files of three tests, two are slow."""
    pytester.makeini("[pytest]\nmarkers = slow\ntestpaths = tests")
    folder = pytester.mkdir("tests")
    shutil.copy(CONFTEST, folder)
    for name in ("a", "b"):
        (folder / f"test_{name}.py").write_text(TESTS)
    return pytester.runpytest_inprocess


@pytest.mark.parametrize("words", [[], ["tests"], ["tests/", "-k", "test"]])
def test_slow_tests_are_left_out_and_that_is_said(run, words):
    result = run(*words, *ALONE)
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.fnmatch_lines([LINE.format(4)])


@pytest.mark.parametrize(
    "words, passed",
    [
        (["--all"], 6),
        (["tests", "--all"], 6),
        (["tests/test_a.py"], 3),
        (["tests/test_a.py::test_slow"], 2),
        (["tests/test_a.py::test_slow[1]", "tests/test_b.py"], 4),
    ],
)
def test_all_or_what_is_named_is_run(run, words, passed):
    result = run(*words, *ALONE)
    result.assert_outcomes(passed=passed)
    result.stdout.no_fnmatch_line("*left out*")


def test_other_choices_are_the_users_own(run):
    run("-m", "slow", *ALONE).assert_outcomes(passed=4, deselected=2)
    result = run("tests/test_a.py", "tests", "-m", "not slow")
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.no_fnmatch_line("*left out*")


def test_a_named_file_beside_a_folder_is_run(run):
    result = run("tests/test_a.py", "tests")
    result.assert_outcomes(passed=4, deselected=2)
    result.stdout.fnmatch_lines([LINE.format(2)])


def test_folders_are_run_by_several_processes(run, pytester):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["created: */* worker*", LINE.format(4)])
    run("tests/test_a.py").stdout.no_fnmatch_line("*worker*")


@pytest.mark.parametrize("words", [[], ["--all"], ["tests/test_a.py"]])
@pytest.mark.parametrize("there", [False, True])
def test_tests_on_a_gpu_are_skipped_without_one(
    run, pytester, monkeypatch, words, there
):
    # Imported above: pytester would import it anew, which it does not stand.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    pytester.makeini("[pytest]\nmarkers = slow\n gpu\ntestpaths = tests")
    file = pytester.path / "tests/test_a.py"
    file.write_text(TESTS.replace("def test_q", "@pytest.mark.gpu\ndef test_q"))
    result = run(*words, *ALONE)
    found = result.parseoutcomes()
    assert found.get("skipped", 0) == (not there)
    line = "*1 tests on a GPU were skipped: there is no GPU"
    (result.stdout.no_fnmatch_line if there else result.stdout.fnmatch_lines)(
        line if there else [line]
    )
