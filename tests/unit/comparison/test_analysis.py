"""The numbers of a comparison of made-up scores, by hand."""

import pytest
from scipy import stats

from speechbrain_dfkd.comparison.analysis import (
    all_rows,
    as_table,
    differences,
    gate_rows,
    is_void,
    score_table,
    snr_classes,
)
from speechbrain_dfkd.comparison.statistics import bootstrap_mean
from speechbrain_dfkd.errors import UserError

BASE = [1.0, 1.5, 2.0]  # mean 1.5


def shifted(by):
    return [value + by for value in BASE]


@pytest.fixture
def jobs(job):
    """none: 1.5 each. dfkd gains 0.1, 0.2, 0.3; clean loses 0.1, twice."""
    gains = {"none": [0, 0, 0], "dfkd": [0.1, 0.2, 0.3], "clean": [-0.1, -0.1]}
    return [
        job(arm, seed, shifted(by))
        for arm, of in gains.items()
        for seed, by in enumerate(of, start=1)
    ]


def test_means_are_over_clips_and_then_over_seeds(results, jobs, index_of):
    index = index_of(results(jobs))
    dfkd = index.get("mean", "dfkd", "pesq_wb")
    assert dfkd.value == pytest.approx(1.7)
    assert (dfkd.high - dfkd.low) / 2 == pytest.approx(0.4303 / 3**0.5, 1e-4)
    assert (dfkd.seeds, dfkd.clips, dfkd.p) == (3, 3, None)
    teacher = index.get("mean", "teacher", "si_sdr")
    assert (teacher.value, teacher.low, teacher.seeds) == (15.0, None, None)


def test_differences_are_paired_by_seed(results, jobs, index_of):
    index = index_of(results(jobs))
    dfkd = index.get("difference", "dfkd", "pesq_wb")
    assert dfkd.value == pytest.approx(0.2)
    assert dfkd.p == pytest.approx(0.0742, abs=1e-4)  # t = 3.4641 again
    by_seed = index.all("difference_by_seed", "dfkd")
    shown = [row for row in by_seed if row.metric == "si_sdr"]
    assert [row.condition for row in shown] == ["seed 1", "seed 2", "seed 3"]
    assert [row.value for row in shown] == pytest.approx([1, 2, 3])
    assert {(row.seeds, row.clips, row.low) for row in shown} == {(1, 3, None)}
    # The gain is the same for all clips: only seeds cause spread.
    crossed = index.get("difference_bootstrap", "dfkd", "pesq_wb")
    assert crossed.p == pytest.approx(dfkd.p, abs=0.02)


def test_intervals_are_those_of_the_plan(results, job, index_of):
    gains = {"none": [0, 0.1, 0.3], "dfkd": [0.1, 0.4, 0.2]}
    jobs = [
        job(arm, seed, [1.0 + by, 1.5 + by**2, 2.0])
        for arm, of in gains.items()
        for seed, by in enumerate(of, start=1)
    ]
    usual = index_of(results(jobs)).rows
    found = results(jobs, confidence=0.8, bootstrap_draws=50)
    index = index_of(found)
    narrower = stats.t.ppf(0.9, 2) / stats.t.ppf(0.975, 2)  # of 3 seeds
    assert {row.quantity for row in usual if row.low is not None} == {
        "mean", "difference", "difference_bootstrap", "snr_mean",
        "snr_difference", "valid_mean", "valid_difference", "gate_difference",
    }  # fmt: skip
    for row in usual:
        if row.low is not None and row.quantity != "difference_bootstrap":
            key = row.quantity, row.system, row.metric, row.condition
            half = index.get(*key).high - row.value
            assert half == pytest.approx((row.high - row.value) * narrower), key
    crossed = index.get("difference_bootstrap", "dfkd", "stoi")
    own = differences(score_table(found, "stoi"), "dfkd", "none")
    expected = bootstrap_mean(own.to_numpy(), 0.8, 50)
    assert (crossed.low, crossed.high) == (expected.low, expected.high)


def test_an_arm_that_has_no_common_seed_does_not_end_the_report(
    results, job, index_of
):
    jobs = [job(arm, 1, BASE) for arm in ("none", "clean")]
    jobs.append(job("dfkd", 2, BASE))
    index = index_of(results(jobs))
    for quantity in ("difference", "difference_bootstrap", "snr_difference"):
        condition = "below 0 dB" if quantity == "snr_difference" else ""
        found = [
            index.get(quantity, arm, "pesq_wb", condition)
            for arm in ("dfkd", "clean")
        ]
        assert found[0] is None and found[1].value == 0


def test_an_arm_is_paired_with_the_seeds_that_it_has(results, job, index_of):
    # Seed 3 is easy: a mean over all of the baseline's seeds would mislead.
    jobs = [job("none", seed, shifted(by)) for seed, by in ((1, 0), (3, 1))]
    jobs += [job("dfkd", seed, shifted(0.25)) for seed in (1, 2)]
    row = index_of(results(jobs)).get("difference", "dfkd", "pesq_wb")
    assert (row.value, row.low, row.p, row.seeds) == (0.25, None, None, 1)


def test_differences_to_another_arm_are_paired_with_its_seeds(
    results, jobs, index_of
):
    # clean has seeds 1 and 2 alone, dfkd and none also 3.
    index = index_of(results(jobs, against="clean"))
    dfkd = index.get("difference", "dfkd", "pesq_wb")
    assert (dfkd.value, dfkd.seeds) == (pytest.approx(0.25), 2)
    by_seed = index.all("difference_by_seed", "dfkd")
    assert {row.condition for row in by_seed} == {"seed 1", "seed 2"}
    none = index.get("snr_difference", "none", "pesq_wb", "below 0 dB")
    assert (none.value, none.seeds) == (pytest.approx(0.1), 2)
    assert index.get("difference", "clean", "pesq_wb") is None
    assert index.get("mean", "dfkd", "pesq_wb").seeds == 3


def test_the_gate_is_that_of_the_baseline_whatever_differences_are_to(
    results, jobs
):
    rows = list(gate_rows(results(jobs)))
    assert list(gate_rows(results(jobs, against="dfkd"))) == rows


def test_holm_counts_the_arms_of_one_metric(results, job, index_of):
    gains = {"none": [0, 0, 0], "dfkd": [1, 2, 3], "clean": [1, 2, 4]}
    jobs = [
        job(arm, seed, shifted(by))
        for arm, of in gains.items()
        for seed, by in enumerate(of, start=1)
    ]
    index = index_of(results(jobs))
    for quantity in ("difference", "difference_bootstrap"):
        dfkd = index.get(quantity, "dfkd", "stoi")
        clean = index.get(quantity, "clean", "stoi")
        assert dfkd.p < clean.p  # t = 3.46 and 2.65
        assert dfkd.p_holm == pytest.approx(2 * dfkd.p)
        assert clean.p_holm == max(2 * dfkd.p, clean.p)


def test_no_difference_at_all_is_zero_with_certainty(results, job, index_of):
    jobs = [job(arm, seed, BASE) for arm in ("none", "dfkd") for seed in (1, 2)]
    index = index_of(results(jobs))
    for quantity in ("difference", "difference_bootstrap"):
        row = index.get(quantity, "dfkd", "pesq_wb")
        assert (row.value, row.low, row.high, row.p) == (0, 0, 0, 1)


def test_an_undefined_score_leaves_its_clip_out_everywhere(
    results, job, index_of
):
    jobs = [job("none", 1, [1.0, 2.0, 6.0]), job("dfkd", 1, [1.0, 3.0, None])]
    found = results(jobs)
    table = score_table(found, "pesq_wb")
    assert list(table) == ["a", "b"]
    index = index_of(found)
    assert index.get("mean", "none", "pesq_wb").value == 1.5
    assert index.get("difference", "dfkd", "pesq_wb").value == 0.5


def test_clips_are_classed_by_the_noisy_input(results, jobs, index_of):
    # BASE as PESQ is -5, 0 and 5 dB; a class holds its lower edge.
    assert snr_classes([0, 10]) == ["below 0 dB", "0 to 10 dB", "from 10 dB"]
    assert snr_classes([-5, 0, 10])[::3] == ["below -5 dB", "from 10 dB"]
    assert snr_classes([5]) == ["below 5 dB", "from 5 dB"]
    index = index_of(results(jobs))
    low = index.get("snr_mean", "none", "pesq_wb", "below 0 dB")
    middle = index.get("snr_mean", "none", "pesq_wb", "0 to 10 dB")
    assert (low.value, low.clips) == (1.0, 1)
    assert (middle.value, middle.clips) == (1.75, 2)
    assert index.get("snr_mean", "none", "pesq_wb", "from 10 dB") is None
    gain = index.get("snr_difference", "dfkd", "pesq_wb", "below 0 dB")
    assert (gain.value, gain.seeds) == (pytest.approx(0.2), 3)


def test_a_clip_without_input_sdr_is_in_no_class(results, jobs, index_of):
    found = results(jobs)
    found.systems["noisy"]["test"]["a"]["si_sdr"] = None
    index = index_of(found)
    assert index.get("mean", "none", "pesq_wb").clips == 3
    assert index.get("snr_mean", "none", "pesq_wb", "below 0 dB") is None
    assert index.get("snr_mean", "none", "pesq_wb", "0 to 10 dB").clips == 2
    assert index.get("snr_mean", "none", "pesq_wb", "from 10 dB") is None


def test_classes_are_named_by_their_edges():
    names = ["below 0 dB", "0 to 5 dB", "from 5 dB"]
    assert snr_classes([0, 5]) == names


@pytest.mark.parametrize("lacks", [{"snr_edges_db": []}, {"noisy": None}])
def test_without_edges_or_noisy_scores_there_are_no_classes(
    results, jobs, lacks, index_of
):
    index = index_of(results(jobs, **lacks))
    assert not index.all("snr_mean") and not index.all("snr_difference")
    assert index.get("mean", "dfkd", "pesq_wb").clips == 3


@pytest.mark.parametrize("lead, void", [(0.5, False), (0.49, True)])
def test_a_teacher_below_the_margin_voids_the_comparison(
    results, jobs, lead, void
):
    found = results(jobs, teacher=shifted(lead))
    rows = list(gate_rows(found))
    assert [(row.metric, row.condition) for row in rows] == [
        ("pesq_wb", "at least +0.5"),
        ("si_sdr", "at least +0"),
    ]
    assert {(row.system, row.seeds, row.p) for row in rows} == {
        ("teacher", 3, None)
    }
    assert rows[0].value == pytest.approx(lead)
    assert is_void(found, as_table(rows)) is void


def test_the_gate_is_judged_on_validation(results, jobs, as_scores):
    """Whatever the test set says, on which nothing may be decided."""
    lead = 0.5
    found = results(jobs, teacher=shifted(lead))
    found.systems["teacher"]["test"] = as_scores(shifted(lead - 1))
    for job in jobs:
        job.test = as_scores(shifted(-2))
    rows = list(gate_rows(found))
    assert [row.value for row in rows] == pytest.approx([lead, 10 * lead])
    assert not is_void(found, as_table(rows))
    found.systems["teacher"] = {
        "valid": as_scores(shifted(lead - 1)),
        "test": as_scores(shifted(lead)),
    }
    assert is_void(found, as_table(gate_rows(found)))


def test_each_row_is_of_the_split_that_it_says(
    results, jobs, as_scores, index_of
):
    found = results(jobs)
    for job in jobs:
        lead = 1 if job.arm == "dfkd" else 0
        job.valid = as_scores([7.0 + lead, 9.0 + lead])
    for name, value in (("noisy", 5.0), ("teacher", 6.0)):
        found.systems[name]["valid"] = as_scores([value, value])
    index = index_of(found)
    for system, tested, validated in (
        ("noisy", 1.5, 5), ("teacher", 3, 6), ("none", 1.5, 8), ("dfkd", 1.7, 9)
    ):  # fmt: skip
        row = index.get("mean", system, "pesq_wb")
        assert (row.value, row.clips) == (pytest.approx(tested), 3)
        row = index.get("valid_mean", system, "pesq_wb")
        assert (row.value, row.clips) == (pytest.approx(validated), 2)
    tested = index.get("difference", "dfkd", "pesq_wb")
    validated = index.get("valid_difference", "dfkd", "pesq_wb")
    assert (tested.value, validated.value) == (pytest.approx(0.2), 1)


def test_every_gate_metric_must_hold(results, jobs):
    found = results(jobs, teacher=shifted(1), gate={"pesq_wb": 0, "si_sdr": 11})
    assert is_void(found, all_rows(found))


def test_the_gate_waits_for_teacher_and_baseline(results, jobs, job):
    assert not list(gate_rows(results(jobs, teacher=None)))
    assert not list(gate_rows(results([job("dfkd", 1, BASE)])))
    assert not is_void(results([]), as_table([]))


def test_a_gate_on_a_metric_without_scores_does_not_pass(results, jobs):
    message = (
        "^the gate's metrics must be defined for some validation clip in all "
        "systems, got none for pesq; correct the comparison file's gate$"
    )
    with pytest.raises(UserError, match=message):
        list(gate_rows(results(jobs, gate={"pesq": 0})))


def test_the_time_of_a_step_is_compared_within_a_seed(results, job, index_of):
    seconds = {"none": [1.0, 2.0, 4.0], "dfkd": [2.0, 2.0, 8.0]}
    jobs = [
        job(arm, seed, BASE, seconds=value)
        for arm, of in seconds.items()
        for seed, value in enumerate(of, start=1)
    ]
    index = index_of(results(jobs))
    assert index.get("step_seconds", "none").value == 2
    assert index.get("step_ratio", "none").value == 1
    assert index.get("step_ratio", "dfkd").value == 2  # of 2, 1, 2
    index = index_of(results(jobs, against="dfkd"))
    assert index.get("step_ratio", "none").value == 0.5


def test_nothing_finished_has_no_rows(results):
    assert all_rows(results([], None, None)).empty
