"""Leaves the slow tests out of a plain ``pytest``, and says so at its end."""

import pytest

_LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run slow tests, too")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked slow, unless its file or test is named."""
    if config.option.all or config.option.markexpr:
        return
    folder = config.invocation_params.dir
    named = {folder / word.partition("::")[0] for word in config.args}
    kept, left_out = [], []
    for item in items:
        is_slow = item.get_closest_marker("slow") and item.path not in named
        (left_out if is_slow else kept).append(item)
    if left_out:
        items[:] = kept
        config.stash[_LEFT_OUT] = len(left_out)
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter, config):
    if number := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{number} slow tests were left out; to run all: pytest --all"
        )
