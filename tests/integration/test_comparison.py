"""A toy comparison by the real script: killed, gone on with, and repeated."""

import json
import signal
import time
from pathlib import Path

import pytest
from recipe_runs import STUDENT_NETWORK, dfkd_options, finish, start

from speechbrain_dfkd.comparison.comparison import compare

pytestmark = pytest.mark.slow

COMPARE = ["recipes/VoiceBank/compare.py"]
LEAF = "hparams/dccrn_dfkd.yaml"
PLAN = """
name: toy
baseline: none
arms:
    none: {kd_weight: 0}
    dfkd: {kd: !include:kd/dfkd.yaml , kd_gradient_batches: 1}
seeds: [1, 2]
arm_seeds: {dfkd: [2]}
tuning_seed: 100
gradient_ratios: [0.5, 2.0]
learning_rates: [0.001, 0.002]
tune_on: si_sdr
side_by_side: 2
gate: {si_sdr: -100}
confidence: 0.95
bootstrap_draws: 100
snr_edges_db: [5]
"""
ONE_EPOCH = {"number_of_epochs": 1, "ckpt_interval_minutes": 0}


@pytest.fixture
def toy(corpus, tmp_path):
    """Return the comparison's folder and the command's words."""
    plan = tmp_path / "toy.yaml"
    plan.write_text(PLAN)
    options = dfkd_options(
        corpus,
        tmp_path / "results",
        **ONE_EPOCH,
        teacher=STUDENT_NETWORK,
        teacher_overrides={
            "batch_size": 4,
            "segment_seconds": 0.5,
            **ONE_EPOCH,
        },
    )
    return tmp_path / "results/comparison-toy", [plan, LEAF, *options]


def processes_with(word) -> list:
    """Return the ids of the processes whose command line has a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def wait_until(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.02)


def test_comparison_goes_on_after_a_kill_and_is_made_once(toy, succeed):
    folder, arguments = toy
    with open(folder.parent.parent / "first.txt", "w") as errors:
        process = start(COMPARE, arguments, stderr=errors)
        runs = folder / "runs"

        def several():
            assert process.poll() is None, "it ended before"
            return len(list(runs.glob("*/results.json"))) >= 3

        wait_until(several, 900)
        process.send_signal(signal.SIGKILL)
        first, _ = process.communicate()
    wait_until(lambda: not processes_with(str(runs)), 60)
    finished = "*/results.json"
    kept = {path: path.stat().st_mtime_ns for path in runs.glob(finished)}
    assert len(kept) < 7, "it ended before"

    second = finish(COMPARE, arguments)
    assert f"Jobs: 7, {len(kept)} of them done before" in second
    names = sorted(path.parent.name for path in runs.glob(finished))
    assert len(names) == 7
    assert sum("-seed_100" in name for name in names) == 4
    assert all(path.stat().st_mtime_ns == kept[path] for path in kept)
    for path in runs.glob(finished):
        job = json.loads((path.parent / "job.json").read_text())
        result = json.loads(path.read_text())
        assert result["steps"] == 7 and result["seconds_per_step"] > 0
        assert list(result["scores"]) == ["student"]
        scores = result["scores"]["student"]
        clips = len(scores["valid"]), len(scores.get("test", ()))
        assert clips == (2, 0 if job["seed"] == 100 else 3)
        log = (path.parent / "job.log").read_text()
        weight = result["kd_weight"]
        assert (weight is None) == (job["arm"] == "none")
        assert weight is None or f"kd_weight: {weight:.6g} = " in log
    report = (folder / "report.md").read_text()
    assert report in second
    for row in ("none", "dfkd", "noisy", "teacher"):
        assert row in report
    assert not list((folder / "runs").glob("*/save"))
    assert len(list((folder / "runs").glob("*/enhancer"))) == 7

    third = succeed(arguments[1:], arguments[0], train=compare)
    assert report in third
    assert "Jobs:" not in third and "started" not in third
