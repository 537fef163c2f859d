"""Scoring is the same on any number of processes, and outlives each clip."""

import csv
import importlib.util
import json
import logging
import os
import signal
import threading
import time

import numpy as np
import pytest
from joblib import Parallel, delayed
from joblib.externals.loky import BrokenProcessPool

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.evaluation.metrics import (
    METRICS,
    Metric,
    UndefinedMetric,
    si_sdr,
)
from speechbrain_dfkd.evaluation.scoring import Scoring, score

RATE = 16000
QUIET = {"progress": False}


def clips(speech, count, seconds=1.0):
    rng = np.random.default_rng(7)
    for index in range(count):
        clean = speech(seconds, seed=index)
        noise = 0.02 * rng.standard_normal(len(clean)).astype(np.float32)
        yield f"clip{index}", clean, clean + noise


def length(clean, enhanced, sample_rate):
    return float(len(clean))


def test_any_number_of_jobs_gives_the_same_numbers_in_order(speech):
    # Longest first, so that workers finish in another order.
    data = [
        *clips(speech, 1, seconds=4.0),
        ("silent", np.zeros(RATE), np.ones(RATE)),
        *((f"short {name}", *pair) for name, *pair in clips(speech, 4)),
    ]
    serial = score(data, RATE, n_jobs=1, **QUIET)
    parallel = score(iter(data), RATE, n_jobs=2, **QUIET)
    assert parallel == serial
    assert list(parallel.rows) == [name for name, _, _ in data]
    assert serial.rows["silent"] == dict.fromkeys(serial.rows["clip0"])
    # Real numbers, not only equal ones.
    name, clean, enhanced = data[0]
    assert parallel.rows[name]["si_sdr"] == si_sdr(clean, enhanced)


def test_undefined_metrics_are_counted_and_named(speech, caplog):
    def odd_ones(clean, enhanced, sample_rate):
        if clean[0] % 2 == 0:
            raise UndefinedMetric("even")
        return float(clean[0])

    data = [(f"clip{i}", np.full(3, i), np.zeros(3)) for i in range(50)]
    with caplog.at_level(logging.WARNING):
        scores = score(data, RATE, {"odd": odd_ones}, n_jobs=1, **QUIET)
    assert scores.mean("odd") == 25.0
    assert scores.rows["clip2"] == {"odd": None}
    assert scores.undefined["odd"]["clip2"] == "even"
    assert scores.summary() == {"odd": 25.0, "utterances": 50, "undefined": 25}
    (record,) = caplog.records
    message = record.getMessage()
    assert "odd is undefined for 25 of 50" in message
    assert message.count("clip") == 20 and "clip38: even" in message


def test_without_a_defined_value_there_is_no_mean():
    silence = np.zeros(RATE)
    scores = score([("a", silence, silence)], RATE, n_jobs=1, **QUIET)
    assert scores.mean("stoi") is None
    assert score([], RATE, **QUIET).mean("stoi") is None


def test_clips_are_read_while_scoring_proceeds():
    unscored = []

    def endless():
        for index in range(1000):
            unscored.append(index)
            yield str(index), np.ones(3), np.ones(3)

    def fails(clean, enhanced, sample_rate):
        raise ZeroDivisionError("broken metric")

    with pytest.raises(
        RuntimeError, match="ratio failed on \\d+: broken metric"
    ):
        score(endless(), RATE, {"ratio": fails}, n_jobs=2, **QUIET)
    assert len(unscored) <= 10


def numbered_clips():
    return [(f"clip{i}", np.full(RATE, i), np.ones(RATE)) for i in range(8)]


def assert_scored_but(scores, metric, reasons):
    assert scores.undefined == {metric: reasons, "length": {}}
    assert list(scores.rows) == [f"clip{i}" for i in range(8)]
    for name, row in scores.rows.items():
        value = None if name in reasons else 1.5
        assert row == {metric: value, "length": float(RATE)}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_clip_that_kills_its_process_is_undefined(n_jobs, caplog):
    def fatal(clean, enhanced, sample_rate):
        if clean[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if clean[0] == 3:
            raise MemoryError
        return 1.5

    metrics = {"fatal": fatal, "length": length}
    scores = score(numbered_clips(), RATE, metrics, n_jobs=n_jobs, **QUIET)
    reasons = {
        "clip2": "its process died (SIGKILL), 1.0 s of audio",
        "clip3": "not enough memory, 1.0 s of audio",
    }
    assert_scored_but(scores, "fatal", reasons)
    for name, reason in reasons.items():
        assert f"{name}: {reason}" in caplog.text


def test_a_clip_that_hangs_is_undefined_and_leaves_no_process(tmp_path):
    def hangs(clean, enhanced, sample_rate):
        if clean[0] == 2:
            (tmp_path / "worker").write_text(str(os.getpid()))
            time.sleep(600)
        return 1.5

    metrics = {"hangs": hangs, "length": length}
    scores = score(
        numbered_clips(), RATE, metrics, n_jobs=2, timeout_seconds=3, **QUIET
    )
    reason = "no result within timeout_seconds = 3 s, 1.0 s of audio"
    assert_scored_but(scores, "hangs", {"clip2": reason})
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "worker").read_text()), 0)


def test_a_metric_that_is_slow_to_import_is_no_clips_fault(
    tmp_path, monkeypatch
):
    (tmp_path / "slowly_imported.py").write_text(
        "import time\n"
        "time.sleep(4)\n"
        "def metric(clean, enhanced, sample_rate):\n"
        "    return 1.5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from slowly_imported import metric

    scores = score(
        numbered_clips(), RATE, {"m": metric}, 2, timeout_seconds=2, **QUIET
    )
    assert scores.undefined == {"m": {}} and scores.mean("m") == 1.5


@pytest.mark.parametrize("error", [MemoryError, TimeoutError])
def test_what_fails_to_read_the_clips_is_no_clips_fault(error):
    def clips_of_a_failing_disk():
        yield "a", np.ones(3), np.ones(3)
        raise error("disk")

    with pytest.raises(error, match="disk"):
        score(clips_of_a_failing_disk(), RATE, {"n": length}, 1, **QUIET)


def test_a_machine_without_processes_is_no_clips_fault(monkeypatch):
    class NoPool:
        def submit(self, *task):
            raise BrokenProcessPool("no process could be started")

        def shutdown(self, kill_workers):
            assert kill_workers

    monkeypatch.setattr(
        scoring, "get_memmapping_executor", lambda *_, **settings: NoPool()
    )
    with pytest.raises(
        RuntimeError, match="must start, got .*could be started"
    ):
        score(numbered_clips(), RATE, n_jobs=1, **QUIET)


def test_workers_are_kept_for_the_next_call():
    def process(clean, enhanced, sample_rate):
        return float(os.getpid())

    first, second = (
        score(numbered_clips(), RATE, {"pid": process}, 1, **QUIET).rows
        for _ in range(2)
    )
    assert first == second and first["clip0"]["pid"] != os.getpid()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scoring_and_preparing_share_the_pool_of_a_process(n_jobs):
    """As where one program scores, prepares data, and scores again."""
    for _ in range(2):
        score(numbered_clips(), RATE, {"length": length}, n_jobs, **QUIET)
        assert Parallel(2)(delayed(abs)(i) for i in (-1, -2)) == [1, 2]


def test_a_worker_has_one_thread_and_does_not_load_torch(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    def threads(clean, enhanced, sample_rate):
        return float(os.environ["OMP_NUM_THREADS"])

    def torch_loaded(clean, enhanced, sample_rate):
        import sys

        return float("torch" in sys.modules)

    data = [(str(i), np.ones(3), np.ones(3)) for i in range(2)]
    metrics = {"threads": threads, "torch": torch_loaded}
    scores = score(data, RATE, metrics, n_jobs=2, **QUIET)
    assert scores.rows["0"] == {"threads": 1.0, "torch": 0.0}


def test_arguments_are_checked():
    twice = [("a", np.ones(3), np.ones(3))] * 2
    with pytest.raises(UserError, match="distinct, got a twice"):
        score(twice, RATE, {"length": length}, n_jobs=1, **QUIET)
    with pytest.raises(UserError, match="n_jobs must be at least 1, got 0"):
        score([], RATE, n_jobs=0, **QUIET)


def test_a_metric_is_added_by_a_row_of_the_table(tmp_path, monkeypatch):
    # Not above: the workers import this module, and torch with that.
    from speechbrain_dfkd.settings.checks import check_values

    def clipped(clean, enhanced, sample_rate):
        return 100 * float(np.mean(abs(enhanced) >= 1))

    added = Metric(clipped, "clip [%]", 1, "mean share of clipped samples")
    monkeypatch.setitem(METRICS, "clipped", added)
    rows = [("a", np.ones(4), np.array([0.5, 1, 2, -3]))]
    scores = score(rows, RATE, **QUIET)
    assert scores.rows["a"]["clipped"] == 75.0
    # A copy of the module that makes its columns now.
    spec = importlib.util.find_spec("speechbrain_dfkd.run_folder")
    run_folder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_folder)
    row = {"system": "noisy", **scores.summary()}
    heading, line = run_folder.write_report(tmp_path, [row]).splitlines()
    place = heading.index("clip [%]")
    assert line[place : place + len("clip [%]")].strip() == "75.0"
    with open(tmp_path / "results.csv", newline="") as file:
        assert next(csv.DictReader(file))["clipped"] == "75.0"
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["definitions"]["clipped"] == "mean share of clipped samples"
    check_values({"best_metric": "clipped", "sample_rate": RATE})


def test_scores_made_beside_other_work_are_the_same(speech):
    data = [*clips(speech, 6), ("silent", np.zeros(RATE), np.ones(RATE))]
    beside = Scoring(RATE, METRICS, beside=True)
    for clip in reversed(data):
        beside.add(clip)
    found = beside.scores()
    expected = score(data, RATE, n_jobs=1, **QUIET)
    assert found == expected and list(found.rows) == sorted(expected.rows)
    after = Scoring(RATE, METRICS)
    for clip in reversed(data):
        after.add(clip)
    again = after.scores()
    assert again == expected and list(again.rows) == sorted(expected.rows)


def test_scoring_beside_begins_with_the_first_clip_and_does_not_wait(speech):
    before = threading.active_count()
    beside = Scoring(RATE, {"slow": a_second}, beside=True)
    assert threading.active_count() == before
    began = time.monotonic()
    beside.add(next(clips(speech, 1)))
    assert time.monotonic() - began < 1
    assert beside.scores().rows == {"clip0": {"slow": 1.0}}
    assert Scoring(RATE, METRICS, beside=True).scores().rows == {}


def test_scoring_beside_holds_few_clips(speech, monkeypatch):
    monkeypatch.setattr(scoring, "cpu_count", lambda: 1)
    beside = Scoring(RATE, {"slow": a_second}, beside=True)
    added = []

    def add():
        for clip in clips(speech, 9):
            beside.add(clip)
            added.append(clip)

    adding = threading.Thread(target=add)
    adding.start()
    time.sleep(0.5)
    assert len(added) <= 5  # two in the queue, two with workers, one on its way
    adding.join()
    assert len(beside.scores().rows) == 9


def test_scoring_beside_raises_what_a_metric_raises(speech):
    beside = Scoring(RATE, {"failing": failing}, beside=True)
    with pytest.raises(RuntimeError, match="failing failed on clip.: no disk"):
        for clip in clips(speech, 100):
            beside.add(clip)
    beside = Scoring(RATE, {"failing": failing}, beside=True)
    beside.add(next(clips(speech, 1)))
    with pytest.raises(RuntimeError, match="failing failed on clip.: no disk"):
        beside.scores()


def a_second(clean, enhanced, sample_rate):
    time.sleep(1)
    return 1.0


def failing(clean, enhanced, sample_rate):
    raise OSError("no disk")
