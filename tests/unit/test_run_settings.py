"""A folder holds one experiment; a resume may only change where it lies."""

from dataclasses import fields

import pytest
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_folder import (
    keep_epochs,
    keep_settings,
    refuse_other_settings,
    trained_epochs,
)
from speechbrain_dfkd.settings.keys import FREE_OPTIONS, TOLERATED
from speechbrain_dfkd.teacher.trained_network import EXPORT, WEIGHTS

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
            "  dataset.make_train: !name:crop {} there, !name:mix now",
        ),
        ({"new_key": 1}, "new_key: None there, 1 now"),
    ],
)
def test_another_experiment_is_refused(folder, changes, message):
    with pytest.raises(UserError, match=message):
        refuse_other_settings(folder, Settings(**changes))


# What a new SpeechBrain adds is to be put here or among the free ones.
DECISIVE_OPTIONS = {
    "auto_mix_prec", "bfloat16_mix_prec", "compile", "compile_mode",
    "compile_module_keys", "compile_using_dynamic_shape_tracing",
    "compile_using_fullgraph", "eval_precision", "grad_accumulation_factor",
    "jit", "jit_module_keys", "max_grad_norm", "optimizer_step_limit",
    "precision", "remove_vector_weight_decay",
    "skip_nonfinite_grads",
}  # fmt: skip


def test_every_option_of_speechbrain_is_judged():
    known = {field.name for field in fields(RunOptions)}
    tolerated = {"nonfinite_patience"}
    assert tolerated < TOLERATED
    assert known == FREE_OPTIONS | DECISIVE_OPTIONS | tolerated
    assert not FREE_OPTIONS & DECISIVE_OPTIONS


def test_a_run_that_ended_for_bad_steps_goes_on_with_more_patience(folder):
    refuse_other_settings(folder, Settings(nonfinite_patience=100))


@pytest.mark.parametrize("key", sorted(DECISIVE_OPTIONS))
def test_a_run_goes_on_with_the_same_options(folder, key):
    usual = getattr(RunOptions(), key)
    other = "other" if usual is None else f"not {usual}"
    # One that was not recorded had SpeechBrain's own value.
    refuse_other_settings(folder, Settings(**{key: usual}))
    with pytest.raises(UserError, match=f"{key}: {usual} there, {other} now"):
        refuse_other_settings(folder, Settings(**{key: other}))
    keep_settings(folder, Settings(**{key: other}))
    with pytest.raises(UserError, match=f"{key}: {other} there, {usual} now"):
        refuse_other_settings(folder, Settings())


@pytest.fixture
def exported(tmp_path):
    (tmp_path / EXPORT).mkdir()
    (tmp_path / EXPORT / WEIGHTS).touch()
    return tmp_path


def save_epoch(folder, epoch, ended=True):
    checkpoint = folder / f"save/CKPT+{epoch}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "CKPT.yaml").write_text(
        f"# yamllint disable\nend-of-epoch: {str(ended).lower()}\nstoi: 0.5\n"
    )
    (checkpoint / "epoch_counter.ckpt").write_text(str(epoch))


def test_epochs_of_an_exported_network(exported):
    assert trained_epochs(exported / "elsewhere") == 0
    assert trained_epochs(exported) is None, "nothing tells"
    save_epoch(exported, 2)
    save_epoch(exported, 7)
    save_epoch(exported, 8, ended=False)
    keep_epochs(exported, SETTINGS | {"save_folder": str(exported / "save")})
    assert trained_epochs(exported) == 7
    save_epoch(exported, 9)  # a longer training that was killed
    assert trained_epochs(exported) == 7


def test_epochs_without_a_checkpoint_are_those_asked_for(exported):
    keep_epochs(exported, SETTINGS | {"save_folder": str(exported / "none")})
    assert trained_epochs(exported) == SETTINGS["number_of_epochs"]
