"""What scoring asks of its pool, seen with one that works in this process."""

import logging
from concurrent.futures import Future

import numpy as np
import pytest
from joblib.externals.loky import BrokenProcessPool

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.evaluation.metrics import UndefinedMetric
from speechbrain_dfkd.evaluation.scoring import score

RATE = 16000


class Fate(BaseException):
    """What becomes of the process: an error of its pool; None if it hangs."""


class Pool:
    """Does a task as it is submitted, and keeps note of all it is asked."""

    def __init__(self):
        self.workers, self.shutdowns, self.broken_submits = [], 0, 0

    def __call__(self, n_jobs, *, timeout, env):
        assert timeout == scoring.IDLE_SECONDS == 5
        assert env == scoring.ONE_THREAD and set(env.values()) == {"1"}
        self.workers.append(n_jobs)
        return self

    def submit(self, function, *arguments):
        if self.broken_submits:
            self.broken_submits -= 1
            raise BrokenProcessPool("SIGKILL")
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Fate as fate:
            if fate.args[0] is not None:
                future.set_exception(fate.args[0])
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, *, kill_workers):
        assert kill_workers is True
        self.shutdowns += 1


@pytest.fixture
def pool(monkeypatch):
    pool = Pool()
    monkeypatch.setattr(scoring, "get_memmapping_executor", pool)
    return pool


def clips(count):
    return [(f"clip{i}", np.full(RATE, i), np.ones(RATE)) for i in range(count)]


def first_sample(clean, enhanced, sample_rate):
    assert sample_rate == RATE
    return float(clean[0])


def scored(utterances, metrics, **options):
    return score(utterances, RATE, metrics, progress=False, **options)


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        (BrokenProcessPool("{SIGSEGV(-11)}"), "its process died (SIGSEGV)"),
        (
            BrokenProcessPool("{EXIT(1), SIGKILL(-9)}"),
            "its process died (EXIT(1), SIGKILL)",
        ),
        (BrokenProcessPool("oh"), "its process died (it is not known how)"),
        (MemoryError("64 GB"), "not enough memory"),
        (None, "no result within timeout_seconds = 0.125 s"),
    ],
)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_clip_that_is_lost_is_named_with_the_reason(
    pool, n_jobs, fate, reason
):
    def fatal(clean, enhanced, sample_rate):
        if clean[0] == 2:
            raise Fate(fate)
        return 1.5

    metrics = {"fatal": fatal, "first": first_sample}
    scores = scored(clips(8), metrics, n_jobs=n_jobs, timeout_seconds=0.125)
    reasons = {"clip2": f"{reason}, 1.0 s of audio"}
    assert scores.undefined == {"fatal": reasons, "first": {}}
    assert scores.rows == {
        f"clip{i}": {"fatal": None if i == 2 else 1.5, "first": float(i)}
        for i in range(8)
    }
    # Of the clips together, and of the lost one alone.
    assert pool.shutdowns == 2
    # That one is measured, metric by metric, by one worker.
    assert pool.workers.count(1) >= 2
    assert set(pool.workers) == {1, n_jobs}


def test_clips_beside_a_lost_one_are_not_measured_again(pool):
    measured = []

    def fatal(clean, enhanced, sample_rate):
        measured.append(int(clean[0]))
        if clean[0] == 1:
            raise MemoryError
        return 1.5

    scored(clips(4), {"fatal": fatal}, n_jobs=2)
    assert measured == [0, 1, 2, 3, 1]


def test_a_clip_handed_to_a_broken_pool_is_measured_by_the_next(pool):
    pool.broken_submits = 1
    scores = scored(clips(3), {"first": first_sample}, n_jobs=1)
    assert scores.undefined == {"first": {}}
    assert [row["first"] for row in scores.rows.values()] == [0, 1, 2]
    assert pool.shutdowns == 1


@pytest.mark.parametrize(
    ("n_jobs", "utterances", "workers"),
    [
        (8, clips(3), 3),
        (2, clips(3), 2),
        (8, iter(clips(3)), 8),
        (None, iter(clips(3)), 5),
        (1, clips(3), 1),
        (4, [], 1),
    ],
)
def test_there_are_no_more_workers_than_clips(
    pool, monkeypatch, n_jobs, utterances, workers
):
    monkeypatch.setattr(scoring, "cpu_count", lambda: 5)
    scored(utterances, {"first": first_sample}, n_jobs=n_jobs)
    assert set(pool.workers) == {workers}
    assert pool.shutdowns == 0


def test_two_clips_for_each_worker_are_read_ahead(pool):
    events = []

    def read():
        for name, *pair in clips(4):
            events.append(name)
            yield name, *pair

    def measured(clean, enhanced, sample_rate):
        if clean[0] == 0:
            raise Fate(None)
        events.append("measured")
        return 0.0

    scores = scored(read(), {"m": measured}, n_jobs=1, timeout_seconds=0.125)
    # The clip that hangs keeps its place until the others are through.
    assert events == [
        "clip0", "clip1", "measured", "clip2", "measured", "clip3", "measured",
    ]  # fmt: skip
    assert list(scores.undefined["m"]) == ["clip0"]


def test_no_more_clips_are_read_than_workers_will_need(pool, monkeypatch):
    read, read_at_shutdown = [], []

    def reading():
        for clip in clips(6):
            read.append(clip[0])
            yield clip

    def hangs(clean, enhanced, sample_rate):
        if clean[0] != 1:
            raise Fate(None)
        return 0.0

    monkeypatch.setattr(
        pool,
        "shutdown",
        lambda kill_workers: read_at_shutdown.append(len(read)),
    )
    scored(reading(), {"m": hangs}, n_jobs=1, timeout_seconds=0.03)
    # Two at first, and another when one of them is done.
    assert read_at_shutdown[0] == 3 and len(read) == 6


def test_a_pool_that_does_not_start_in_time_is_no_clips_fault(
    pool, monkeypatch
):
    def measure(*_):
        raise Fate(None)

    monkeypatch.setattr(scoring, "START_SECONDS", 0.125)
    monkeypatch.setattr(scoring, "_measure", measure)
    monkeypatch.setattr(scoring, "_imported", measure)
    message = (
        r"^a process for scoring must start, got TimeoutError\(\); free memory "
        "and processes, and start again$"
    )
    with pytest.raises(RuntimeError, match=message):
        scored(clips(1), {"first": first_sample}, timeout_seconds=0.125)


def test_workers_are_ended_if_reading_fails_while_clips_are_under_way(pool):
    def read():
        yield from clips(1)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        scored(read(), {"first": first_sample}, n_jobs=1)
    assert pool.shutdowns == 1


def test_a_failing_metric_is_named_with_its_clip(pool):
    def fails(clean, enhanced, sample_rate):
        raise ZeroDivisionError("broken metric")

    with pytest.raises(
        RuntimeError, match="^ratio failed on clip0: broken metric$"
    ) as failure:
        scored(clips(1), {"ratio": fails})
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


def test_a_users_error_reaches_the_user(pool):
    def refuses(clean, enhanced, sample_rate):
        raise UserError("sample_rate must be 16000")

    with pytest.raises(UserError, match="^sample_rate must be 16000$"):
        scored(clips(1), {"pesq": refuses})


def test_metrics_get_float32_in_a_row_and_the_sample_rate(pool):
    found = []

    def look(clean, enhanced, sample_rate):
        for signal in (clean, enhanced):
            found.append((signal.dtype, signal.flags.c_contiguous, signal[0]))
        found.append(sample_rate)
        return 0.0

    stereo = np.ones((RATE, 2)) * [1, 2]
    scored([("a", stereo[:, 0], stereo[:, 1].astype("f4"))], {"look": look})
    assert found == [(np.float32, True, 1), (np.float32, True, 2), RATE]


@pytest.mark.parametrize("progress", [True, False])
def test_progress_counts_clips(pool, monkeypatch, progress):
    bars = []

    def tqdm(results, *arguments, **options):
        bars.append((arguments, options))
        return results

    monkeypatch.setattr(scoring, "tqdm", tqdm)
    metrics = {"first": first_sample}
    score(clips(3), RATE, metrics, progress=progress)
    score(iter(clips(3)), RATE, metrics)
    look = {"unit": "clip", "disable": not progress}
    assert bars == [
        (("scoring", 3), look),
        (("scoring", None), {**look, "disable": False}),
    ]


def test_the_warning_has_the_count_and_the_reasons(pool, caplog):
    def odd(clean, enhanced, sample_rate):
        if clean[0] == 1:
            raise UndefinedMetric("one")
        return 0.0

    with caplog.at_level(logging.WARNING):
        scores = scored(clips(3), {"odd": odd, "first": first_sample})
    assert scores.rows["clip1"] == {"odd": None, "first": 1.0}
    assert caplog.messages == [
        "odd is undefined for 1 of 3 utterances, which its mean leaves out:\n"
        "  clip1: one"
    ]


def test_errors_of_arguments_are_whole(pool):
    message = "^utterance ids must be distinct, got clip0 twice; rename one$"
    with pytest.raises(UserError, match=message):
        scored(clips(1) * 2, {"first": first_sample})
