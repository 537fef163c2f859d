"""A folder holds one experiment; a resume may only change where it lies."""

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_settings import keep_settings, refuse_other_settings

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
    changes["dataset"] = SETTINGS["dataset"] | {"max_unreadable_share": 0.5}
    refuse_other_settings(folder, Settings(**changes))
    refuse_other_settings(folder / "new", Settings(lr=7))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lr": 0.2}, "lr: 0.1 there, 0.2 now"),
        (
            {"dataset": {"name": "Speech", "make_train": "!name:mix"}},
            "  dataset.make_train: !name:crop {} there, !name:mix now",
        ),
        ({"new_key": 1}, "new_key: None there, 1 now"),
    ],
)
def test_another_experiment_is_refused(folder, changes, message):
    with pytest.raises(UserError, match=message):
        refuse_other_settings(folder, Settings(**changes))
