"""Which jobs are known when; a made-up score decides on settings."""

import pytest
from ruamel.yaml.comments import CommentedMap

from speechbrain_dfkd.comparison.plan import Plan
from speechbrain_dfkd.comparison.results import REPORT, TUNING, JobResult
from speechbrain_dfkd.comparison.tuning import Job, known_jobs, number_of_jobs
from speechbrain_dfkd.errors import UserError


def plan(rates=(0.1, 0.2), ratios=(1.0, 2.0), arm_seeds=None, **arms):
    arms = {"none": {"kd_weight": 0}, "dfkd": {}, **arms}
    return Plan(
        name="toy", baseline="none", arms=CommentedMap(arms), seeds=[1, 2],
        tuning_seed=100, gradient_ratios=[*ratios], learning_rates=[*rates],
        tune_on="pesq_wb", side_by_side=1, gate={}, confidence=0.9,
        bootstrap_draws=100, snr_edges_db=[],
        arm_seeds=arm_seeds or {},
    )  # fmt: skip


def result(job, value=1.0):
    scores = {"a": {"pesq_wb": value}}
    return JobResult(
        **vars(job), valid=scores, test={}, steps=1, seconds_per_step=1.0,
        command="", kd_weight=None,
    )  # fmt: skip


def settings(jobs, arm, purpose):
    return [j.setting for j in jobs if (j.arm, j.purpose) == (arm, purpose)]


def tuned(arm, value, **setting):
    return result(Job(arm, 100, TUNING, setting), value)


def test_baseline_chooses_first_then_the_arms_at_its_rate():
    toy = plan()
    jobs = known_jobs(toy, [])
    assert jobs == [
        Job("none", 100, TUNING, {"lr": 0.1}),
        Job("none", 100, TUNING, {"lr": 0.2}),
    ]
    found = [tuned("none", 1.0, lr=0.1)]
    assert known_jobs(toy, found) == jobs, "half of the trials decide nothing"

    found.append(tuned("none", 2.0, lr=0.2))
    jobs = known_jobs(toy, found)
    assert settings(jobs, "none", REPORT) == [{"lr": 0.2}] * 2
    trials = [{"kd_gradient_ratio": r, "lr": 0.2} for r in (1.0, 2.0)]
    assert settings(jobs, "dfkd", TUNING) == trials
    assert settings(jobs, "dfkd", REPORT) == []

    found += [tuned("dfkd", 5.0, **trials[1]), tuned("dfkd", 5.0, **trials[0])]
    jobs = known_jobs(toy, found)
    assert settings(jobs, "dfkd", REPORT) == [trials[0]] * 2, "ties: the first"
    assert len(jobs) == number_of_jobs(toy) == 8
    assert len({job.name for job in jobs}) == 8
    assert {job.seed for job in jobs if job.purpose == REPORT} == {1, 2}


def test_trials_at_another_rate_do_not_count():
    found = [tuned("none", value, lr=value) for value in (0.1, 0.2)]
    found += [
        tuned("dfkd", 9.0, kd_gradient_ratio=ratio, lr=0.1)
        for ratio in (1.0, 2.0)
    ]
    assert settings(known_jobs(plan(), found), "dfkd", REPORT) == []


def test_arm_keeps_its_own_weight_and_rate():
    toy = plan(
        longer={"kd_weight": 0}, fast={"lr": 3}, both={"kd_weight": 1, "lr": 3}
    )
    found = [tuned("none", value, lr=value) for value in (0.1, 0.2)]
    jobs = known_jobs(toy, found)
    assert settings(jobs, "longer", REPORT) == [{"lr": 0.2}] * 2
    assert settings(jobs, "longer", TUNING) == []
    ratios = [{"kd_gradient_ratio": ratio} for ratio in (1.0, 2.0)]
    assert settings(jobs, "fast", TUNING) == ratios
    assert settings(jobs, "both", REPORT) == [{}, {}]


def test_one_value_each_needs_no_trial_and_none_no_setting():
    jobs = known_jobs(plan(rates=[0.1], ratios=[2.0]), [])
    setting = {"kd_gradient_ratio": 2.0, "lr": 0.1}
    assert settings(jobs, "dfkd", REPORT) == [setting] * 2
    assert len(jobs) == number_of_jobs(plan(rates=[0.1], ratios=[2.0])) == 4
    bare = known_jobs(plan(rates=[], ratios=[]), [])
    assert [job.setting for job in bare] == [{}] * 4


def test_an_arm_is_reported_from_its_own_seeds():
    toy = plan(rates=[], ratios=[], arm_seeds={"dfkd": [2]})
    names = [job.name for job in known_jobs(toy, [])]
    assert names == ["none-seed_1", "none-seed_2", "dfkd-seed_2"]
    assert number_of_jobs(toy) == 3
    assert number_of_jobs(plan(arm_seeds={"dfkd": [2]})) == 7


def test_an_arm_without_seeds_is_only_tuned():
    toy = plan(arm_seeds={"dfkd": []})
    found = [tuned("none", value, lr=value) for value in (0.1, 0.2)]
    jobs = [job for job in known_jobs(toy, found) if job.arm == "dfkd"]
    assert [(job.purpose, job.seed) for job in jobs] == [(TUNING, 100)] * 2
    assert number_of_jobs(toy) == 6  # and the baseline's: two, and two seeds


def test_an_arm_without_seeds_has_its_only_setting_tried():
    toy = plan(rates=[], ratios=[], arm_seeds={"dfkd": []})
    trial = Job("dfkd", 100, TUNING, {})
    assert known_jobs(toy, [])[0] == trial
    assert len(known_jobs(toy, [result(trial)])) == number_of_jobs(toy) == 3


def test_all_arms_are_tuned_and_then_have_the_first_seed_first():
    toy = plan(own={"kd_weight": 1})
    found = [tuned("none", value, lr=value) for value in (0.1, 0.2)]
    jobs = known_jobs(toy, found)
    assert [(job.arm, job.seed) for job in jobs[2:]] == [
        ("dfkd", 100), ("dfkd", 100),
        ("none", 1), ("own", 1),
        ("none", 2), ("own", 2),
    ]  # fmt: skip


def test_another_choice_than_reported_is_refused():
    found = [tuned("none", value, lr=value) for value in (0.1, 0.2)]
    found.append(result(Job("none", 1, REPORT, {"lr": 0.1})))
    with pytest.raises(UserError, match="none must be reported with one sett"):
        known_jobs(plan(), found)
