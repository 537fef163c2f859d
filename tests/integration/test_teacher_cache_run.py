"""A training reads its teacher's outputs, and outlives kills all the same."""

import tempfile
import time

import pytest
import torch
from recipe_runs import (
    DFKD,
    STUDENT_FOLDER,
    WEIGHTS,
    assert_refused,
    dfkd_options,
    start,
)
from test_resume import EVERY_STEP, kill_at_step

pytestmark = pytest.mark.slow

UTTERANCES = 26
CACHED_FOLDER = f"{STUDENT_FOLDER}-teacher_cache"


def cached_options(finished, results, **changes):
    """Return the command line of a student that reads from a cache."""
    return dfkd_options(
        finished.corpus,
        results,
        teacher_ckpt=finished.teacher,
        teacher_cache=True,
        number_of_epochs=1,
        **changes,
    )


def files(folder):
    return {p: p.stat().st_ino for p in folder.rglob("teacher_cache/*/*.f16")}


def kill_at_file(count, arguments, results):
    with tempfile.TemporaryFile() as errors:
        process = start(DFKD, arguments, stderr=errors)
        deadline = time.monotonic() + 100
        while len(files(results)) < count and process.poll() is None:
            assert time.monotonic() < deadline, "too few files"
            time.sleep(0.002)
        process.kill()
        process.communicate()
    assert 0 < len(files(results)) < UTTERANCES, "it was not making them"


def test_killed_cached_run_ends_with_the_same_weights(
    succeed, finished, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    stdout = succeed(cached_options(finished, whole))
    assert f"{UTTERANCES} files, 0.00" in stdout
    assert f"to be made: {UTTERANCES} files" in stdout

    arguments = cached_options(finished, killed, num_workers=1, **EVERY_STEP)
    kill_at_file(2, arguments, killed)
    before = files(killed)
    kill_at_step(3, arguments, killed / CACHED_FOLDER)
    assert before.items() <= files(killed).items(), "none was made again"
    made = files(killed)
    assert len(made) == UTTERANCES
    assert "to be made: 0 files" in succeed(arguments)
    assert files(killed) == made

    weights, expected = (
        torch.load(folder / CACHED_FOLDER / WEIGHTS, weights_only=True)
        for folder in (killed, whole)
    )
    for key, value in weights.items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        (
            {
                "dataset": "{make_train: !name:speechbrain_dfkd.data.remix."
                "remix_recordings {}}"
            },
            ["teacher_cache must be False", "mixed", "fixed recordings"],
        ),
        (
            {"kd": "!include:kd/frame_similarity.yaml"},
            ["teacher_cache must be False", "encoder.5, rnn", "another --kd"],
        ),
        ({"teacher_cache": "on"}, ["teacher_cache must be True or False"]),
    ],
)
def test_what_cannot_be_cached_is_refused(
    call, corpus, tmp_path, changes, fragments
):
    options = {"teacher_cache": True, **changes}
    outcome = call(dfkd_options(corpus, tmp_path, **options))
    assert_refused(*outcome, fragments, tmp_path)
