"""Jobs are spread over the cards that the user's environment allows."""

import pytest
import torch
from ruamel.yaml.comments import CommentedMap

from speechbrain_dfkd.comparison import jobs
from speechbrain_dfkd.comparison.comparison import BaseCommand
from speechbrain_dfkd.comparison.jobs import (
    JobProcess,
    run_side_by_side,
    shared_environment,
    visible_cards,
)

RECORD = """
import os, sys, time
time.sleep(0.3)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"],
      os.environ.get("LOKY_MAX_CPU_COUNT"))
"""


@pytest.fixture
def cards(monkeypatch):
    """Let this machine have a number of cards, of which some are allowed."""

    def install(count, allowed=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if allowed is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)

    return install


@pytest.mark.parametrize(
    "count, allowed, expected",
    [
        (0, None, []),
        (0, "", []),
        (2, None, ["0", "1"]),
        (2, "3,1", ["3", "1"]),
        (2, "GPU-8f2a, MIG-77b0", ["GPU-8f2a", "MIG-77b0"]),
        (1, "2,-1,0", ["2"]),  # CUDA stops at the first that it has not
    ],
)
def test_cards_are_those_that_the_environment_allows(
    count, allowed, expected, cards
):
    cards(count, allowed)
    assert visible_cards() == expected
    assert not torch.cuda.is_initialized()


def test_each_job_sees_the_least_loaded_card(cards, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "cpu_count", lambda: 8)
    cards(2, "GPU-a,GPU-b")
    script = tmp_path / "record.py"
    script.write_text(RECORD)
    left, most = {f"job{i}": f"job{i}" for i in range(5)}, []
    running = []

    def start(name, card):
        running.append(card)
        most.append(max(map(running.count, running)))
        log = tmp_path / f"{name}.log"
        process = JobProcess(name, [script], log, shared_environment(4, card))
        process.card = card
        return process

    def finish(name):
        running.remove((tmp_path / f"{name}.log").read_text().split()[0])
        del left[name]

    run_side_by_side(lambda: left, start, finish, 2, visible_cards())
    logs = [(tmp_path / f"job{i}.log").read_text().split() for i in range(5)]
    assert [log[0] for log in logs[:4]] == ["GPU-a", "GPU-b"] * 2
    assert all(log[1:] == ["1", "2"] for log in logs)
    assert max(most) == 2


def test_a_job_without_a_card_keeps_the_users_environment(tmp_path):
    assert shared_environment(1) == {}
    assert "CUDA_VISIBLE_DEVICES" not in shared_environment(3, None)
    assert shared_environment(1, "1") == {"CUDA_VISIBLE_DEVICES": "1"}


@pytest.mark.parametrize(
    "options, chooses",
    [
        ([], False),
        (["--device", "cuda"], False),
        (["--device", "cuda:1"], True),
        (["--device", "cpu"], True),
        (["--data_parallel_backend"], True),
    ],
)
def test_a_device_on_the_command_line_is_left_alone(options, chooses):
    words = ["--noprogressbar", *options]
    base = BaseCommand("leaf.yaml", words, CommentedMap())
    assert base.chooses_cards() == chooses
