"""Values out of range are refused before anything is made."""

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.checks import check_values

SPLITS = "a list of some of valid, test, each once"
SYSTEMS = "a list of some of noisy, teacher, student, each once"


@pytest.mark.parametrize(
    ("key", "value", "constraint"),
    [
        ("kd_weight", -0.5, "a number at least 0"),
        ("kd_weight", float("nan"), "a number at least 0"),
        ("kd_weight", None, "a number at least 0"),
        ("lr", True, "a number above 0"),
        ("kd_ramp", 1.1, "a number from 0 to 1"),
        ("kd_stop", 0, "a number above 0 up to 1"),
        ("kd_gradient_ratio", 0.0, "null or a number above 0"),
        ("lr_decay_share", 1.5, "a number from 0 to 1"),
        ("lr_factor", 2, "a number above 0 up to 1"),
        ("kd_gradient_batches", 0, "an integer at least 1"),
        ("batch_size", 2.5, "an integer at least 1"),
        ("number_of_epochs", 3.0, "an integer at least 1"),
        ("num_workers", 0.5, "an integer at least 0"),
        ("skip_prep", "no", "True or False"),
        ("teacher_overrides", 3, "a mapping of keys to values"),
        ("score_splits", [], SPLITS),
        ("score_splits", ["test", "train"], SPLITS),
        ("score_systems", "student", SYSTEMS),
        ("score_systems", ["noisy", "noisy"], SYSTEMS),
    ],
)
def test_number_out_of_range_is_named(key, value, constraint):
    with pytest.raises(UserError, match=f"{key} must be {constraint}, got"):
        check_values({"sample_rate": 16000, key: value})


def test_numbers_at_the_ends_of_their_ranges_are_taken():
    ends = {"kd_weight": 0, "kd_ramp": 1, "kd_stop": 1.0, "num_workers": 0}
    check_values({"sample_rate": 16000, "kd_gradient_ratio": None, **ends})
    check_values({"score_splits": ["valid"], "score_systems": ["student"]})


def test_ramp_ends_before_the_distillation():
    check_values({"sample_rate": 16000, "kd_ramp": 0.5, "kd_stop": 0.5})
    with pytest.raises(UserError, match="kd_ramp must be at most kd_stop"):
        check_values({"sample_rate": 16000, "kd_ramp": 0.5, "kd_stop": 0.3})


def test_best_metric_is_one_of_which_more_is_better():
    check_values({"sample_rate": 16000, "best_metric": "si_sdr"})
    with pytest.raises(UserError, match="best_metric must be one of pesq_wb"):
        check_values({"sample_rate": 16000, "best_metric": "gain_db"})
