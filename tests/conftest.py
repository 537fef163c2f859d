"""Leaves the slow tests out of a plain ``pytest``, and uses all cores."""

import os
from pathlib import Path

import joblib
import pytest

# The networks of the tests are small, and a sum depends on the threads.
os.environ["OMP_NUM_THREADS"] = "1"
# Each loads torch, and makes what several files share.
_MOST_PROCESSES = 4
_LEFT_OUT = "left_out"
_NO_GPU = "there is no GPU"
_KEY = pytest.StashKey[int]()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run slow tests, too")


def _named_files(config) -> set[Path]:
    folder = config.invocation_params.dir
    words = (folder / word.partition("::")[0] for word in config.args)
    return {path for path in words if path.is_file()}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run folders in a process a core, and what is named in this one."""
    option = config.option
    is_worker = hasattr(config, "workerinput")
    watched = option.usepdb or option.trace or option.capture == "no"
    if is_worker or watched or option.collectonly or _named_files(config):
        return
    # pytest-xdist adds this option; None: it was not given.
    if getattr(option, "numprocesses", 0) is None:
        option.numprocesses = min(joblib.cpu_count(), _MOST_PROCESSES)
        option.dist = "loadfile"  # the tests of a file share what they make


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked slow, unless its file or test is named."""
    _skip_without_gpu(items)
    if config.option.all or config.option.markexpr:
        return
    named = _named_files(config)
    kept, left_out = [], []
    for item in items:
        is_slow = item.get_closest_marker("slow") and item.path not in named
        (left_out if is_slow else kept).append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
    config.stash[_KEY] = len(left_out)
    if hasattr(config, "workeroutput"):  # in a process of pytest-xdist's
        config.workeroutput[_LEFT_OUT] = len(left_out)


def _skip_without_gpu(items):
    items = [item for item in items if item.get_closest_marker("gpu")]
    if not items:
        return
    import torch  # only where there are such tests: it takes seconds

    if not torch.cuda.is_available():
        for item in items:
            item.add_marker(pytest.mark.skip(_NO_GPU))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take the number from a process, all of which have the same."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[_KEY] = output.get(_LEFT_OUT, 0)


def pytest_terminal_summary(terminalreporter, config):
    if number := config.stash.get(_KEY, 0):
        terminalreporter.write_line(
            f"{number} slow tests were left out; to run all: pytest --all"
        )
    skipped = terminalreporter.stats.get("skipped", [])
    if number := sum(_NO_GPU in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(
            f"{number} tests on a GPU were skipped: {_NO_GPU}"
        )
