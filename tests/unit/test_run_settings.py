"""A folder holds one experiment; a resume may only change where it lies."""

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_settings import (
    check_values,
    keep_settings,
    refuse_other_settings,
)

SETTINGS = {
    "lr": 0.1,
    "number_of_epochs": 3,
    "data_folder": "/here",
    "dataset": {"name": "Speech", "make_train": "!name:crop {}"},
}


class Settings:
    def __init__(self, **changes):
        self.values = SETTINGS | changes

    def settings(self):
        return self.values


@pytest.fixture
def folder(tmp_path):
    keep_settings(tmp_path, Settings())
    return tmp_path


def test_a_longer_training_elsewhere_goes_on(folder):
    refuse_other_settings(folder, Settings())
    changes = {"number_of_epochs": 9, "data_folder": "/there"}
    refuse_other_settings(folder, Settings(**changes))
    refuse_other_settings(folder / "new", Settings(lr=7))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lr": 0.2}, "lr: 0.1 there, 0.2 now"),
        (
            {"dataset": {"name": "Speech", "make_train": "!name:mix"}},
            "dataset:",
        ),
        ({"new_key": 1}, "new_key: None there, 1 now"),
    ],
)
def test_another_experiment_is_refused(folder, changes, message):
    with pytest.raises(UserError, match=message):
        refuse_other_settings(folder, Settings(**changes))


@pytest.mark.parametrize(
    ("key", "value", "constraint"),
    [
        ("kd_weight", -0.5, "a number at least 0"),
        ("kd_weight", float("nan"), "a number at least 0"),
        ("kd_weight", None, "a number at least 0"),
        ("lr", True, "a number above 0"),
        ("kd_ramp", 1.1, "a number from 0 to 1"),
        ("kd_stop", 0, "a number above 0 up to 1"),
        ("kd_gradient_ratio", 0.0, "a number above 0"),
        ("kd_gradient_batches", 0, "an integer at least 1"),
        ("batch_size", 2.5, "an integer at least 1"),
        ("number_of_epochs", 3.0, "an integer at least 1"),
        ("num_workers", 0.5, "an integer at least 0"),
    ],
)
def test_number_out_of_range_is_named(key, value, constraint):
    with pytest.raises(UserError, match=f"{key} must be {constraint}, got"):
        check_values({"sample_rate": 16000, key: value})


def test_numbers_at_the_ends_of_their_ranges_are_taken():
    ends = {"kd_weight": 0, "kd_ramp": 1, "kd_stop": 1.0, "num_workers": 0}
    check_values({"sample_rate": 16000, "kd_gradient_ratio": None, **ends})


def test_ramp_ends_before_the_distillation():
    check_values({"sample_rate": 16000, "kd_ramp": 0.5, "kd_stop": 0.5})
    with pytest.raises(UserError, match="kd_ramp must be at most kd_stop"):
        check_values({"sample_rate": 16000, "kd_ramp": 0.5, "kd_stop": 0.3})
