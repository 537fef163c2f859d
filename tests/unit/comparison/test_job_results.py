"""Results survive being written, and what does not fit is refused."""

import json

import pytest

from speechbrain_dfkd.comparison.results import (
    ComparisonResults,
    Job,
    JobResult,
    load_jobs,
    save_json,
)
from speechbrain_dfkd.errors import UserError


def test_the_name_of_a_job_is_its_alone():
    setting = {"lr": 0.001, "kd_gradient_ratio": 0.3}
    assert Job("dfkd", 1, "report", setting).name == (
        "dfkd-kd_gradient_ratio_0.3-lr_0.001-seed_1"
    )


@pytest.mark.parametrize("purpose", ["report", "tuning"])
def test_a_job_is_read_as_it_was_written(job, written_run, purpose):
    setting = {"lr": 0.001}
    result = job("dfkd", 1, [1.5, None], purpose, setting, kd_weight=0.25)
    folder = written_run(result)
    assert folder.name == "dfkd-lr_0.001-seed_1"
    assert JobResult.load(folder) == result
    assert load_jobs(folder.parents[1]) == [result]


def test_a_training_without_results_is_not_finished(job, written_run):
    folder = written_run(job("dfkd", 1, [1.5]))
    (folder / "results.json").unlink()
    assert load_jobs(folder.parents[1]) == []


def test_a_score_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        save_json(tmp_path / "results.json", {"pesq_wb": float("nan")})
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "must be a JSON file"),
        ("{}", "must have the keys"),
        ("[]", "must have the keys"),
        ("3", "must have the keys"),
        ('{"kd_weight": 1}', "must have the keys"),
    ],
)
@pytest.mark.parametrize("name", ["job.json", "results.json"])
def test_a_damaged_file_is_named(job, written_run, name, text, message):
    folder = written_run(job("dfkd", 1, [1.0]))
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=f"dfkd-seed_1/{name} {message}"):
        JobResult.load(folder)


def test_a_training_without_its_job_is_not_finished(job, written_run):
    folder = written_run(job("dfkd", 1, [1.0]))
    (folder / "job.json").unlink()
    assert load_jobs(folder.parents[1]) == []


@pytest.mark.parametrize("lacks", ["valid", "test"])
def test_a_training_without_all_scores_is_named(job, written_run, lacks):
    folder = written_run(job("dfkd", 1, [1.0]))
    path = folder / "results.json"
    content = json.loads(path.read_text())
    del content["scores"]["student"][lacks]
    save_json(path, content)
    with pytest.raises(UserError, match="dfkd-seed_1/results.json must have"):
        JobResult.load(folder)


def test_a_folder_is_read_with_what_it_lacks(job, results, written):
    jobs = [job("none", 1, [1.0, 1.0]), job("dfkd", 2, [1.0, 1.0])]
    plan = {"seeds": [1, 2], "arms": {"dfkd": {}, "none": {}}}
    folder = written(results(jobs, None, None, **plan))
    found = ComparisonResults.load(folder)
    assert found.arms == ["none", "dfkd"]
    assert found.reported("none") == {1: jobs[0]}
    assert found.missing() == [
        "scores of the noisy",
        "scores of the teacher",
        "none, seed 2",
        "dfkd, seed 1",
    ]


def test_an_arm_with_seeds_of_its_own_lacks_no_others(job, results):
    jobs = [job(arm, 1, [1.0, 1.0]) for arm in ("none", "dfkd", "clean")]
    found = results(jobs, None, None, arm_seeds={"dfkd": [1]})
    assert found.missing()[2:] == [
        "none, seed 2", "none, seed 3", "clean, seed 2", "clean, seed 3"
    ]  # fmt: skip
    with pytest.raises(UserError, match="got others; name them"):
        results(jobs, arm_seeds={"dfkd": [2, 3]})


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(UserError, match="comparison.json must be a JSON file"):
        ComparisonResults.load(tmp_path)


def test_a_comparison_without_a_key_is_refused(results, written):
    folder = written(results([]))
    plan = json.loads((folder / "comparison.json").read_text())
    del plan["gate"]
    (folder / "comparison.json").write_text(json.dumps(plan))
    with pytest.raises(
        UserError, match="comparison.json must have the keys .*'gate'"
    ):
        ComparisonResults.load(folder)


def test_jobs_scored_on_other_clips_are_refused(job, results):
    jobs = [job("none", 1, [1, 1, 1]), job("dfkd", 1, [1, 1])]
    with pytest.raises(UserError, match="same valid utterances.*\n  c$"):
        results(jobs)


@pytest.mark.parametrize(
    "arm, seed, purpose",
    [
        ("other", 1, "report"),
        ("dfkd", 4, "report"),
        ("dfkd", 100, "report"),
        ("dfkd", 1, "tuning"),
        ("dfkd", 1, "tune"),
        ("dfkd", 100, "tune"),
    ],
)
def test_jobs_that_are_not_planned_are_refused(
    job, results, arm, seed, purpose
):
    with pytest.raises(UserError, match=f"{arm}, seed {seed} \\({purpose}"):
        results([job(arm, seed, [1, 1, 1], purpose)])


def test_two_reported_settings_of_a_job_are_refused(job, results):
    jobs = [
        job("dfkd", 1, [1, 1, 1], setting={"kd_gradient_ratio": ratio})
        for ratio in (0.1, 0.3)
    ]
    with pytest.raises(UserError, match="once, .*\n  dfkd, seed 1 .report.$"):
        results(jobs)
