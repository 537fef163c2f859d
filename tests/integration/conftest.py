"""A tiny corpus, and one finished run that many tests read."""

import logging
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import recipe_runs
from recipe_runs import DFKD, ROOT
from speechbrain.utils import logger

from speechbrain_dfkd.demo_corpus import make_demo_corpus, make_dns_corpus
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.experiment import train_dfkd

# Asks pip, which takes a second, for what stays as it is.
describe_environment = cache(logger.get_environment_description)


@dataclass
class FinishedRun:
    """What a command printed, and the folders that it wrote."""

    corpus: Path
    results: Path
    stdout: str

    def __post_init__(self):
        self.student = self.results / recipe_runs.STUDENT_FOLDER
        self.teacher = self.results / recipe_runs.TEACHER_FOLDER

    def options(self, **changes):
        """Return its command line, but for ``changes``."""
        folders = {"corpus": self.corpus, "results": self.results}
        return recipe_runs.dfkd_options(**folders, **changes)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return a folder like VoiceBank's, 16 kHz: 26 + 2 + 3 utterances."""
    folder = tmp_path_factory.mktemp("voicebank") / "corpus"
    make_demo_corpus(
        folder,
        utterances_per_speaker=1,
        test_utterances=3,
        min_seconds=1.5,
        max_seconds=2.0,
        progress=False,
    )
    return folder


@pytest.fixture(scope="session")
def dns_corpus(tmp_path_factory):
    """Return a folder like DNS2020's, 16 kHz: 28 + 18 + 2 recordings."""
    folder = tmp_path_factory.mktemp("dns") / "corpus"
    make_dns_corpus(
        folder,
        speech_per_speaker=1,
        noises=18,
        test_utterances=2,
        min_seconds=1.0,
        max_seconds=1.5,
        progress=False,
    )
    return folder


@pytest.fixture(scope="session")
def finished(corpus, tmp_path_factory):
    """Return a run of train_dfkd.py from nothing; tests may go on with it."""
    results = tmp_path_factory.mktemp("results")
    options = recipe_runs.dfkd_options(corpus, results)
    stdout = recipe_runs.finish(recipe_runs.DFKD, options)
    return FinishedRun(corpus, results, stdout)


@pytest.fixture
def logging_as_before():
    """SpeechBrain gives the root logger handlers on the captured streams."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level, hook = root.level, sys.excepthook
    yield
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook = hook


@pytest.fixture
def call(capsys, monkeypatch, logging_as_before):
    """Return a function that runs train_dfkd.py within this process."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", list(DFKD))
    for recipe in (ROOT / "recipes").iterdir():
        monkeypatch.syspath_prepend(str(recipe))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    # The next run and the next test find the worker that scores.
    monkeypatch.setattr(scoring, "IDLE_SECONDS", 300)
    monkeypatch.setattr(
        logger, "get_environment_description", describe_environment
    )

    def call(arguments, leaf=DFKD[1], recipe="VoiceBank", train=train_dfkd):
        argv = [str(leaf), *map(str, arguments)]
        code = train(argv, ROOT / "recipes" / recipe)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def succeed(call):
    """Return ``call`` for a run that must succeed: it returns the output."""

    def succeed(*arguments, **options):
        code, stdout, stderr = call(*arguments, **options)
        assert code == 0, stdout + stderr
        return stdout

    return succeed
