"""What is not finite changes nothing, is counted, and ends a training."""

import math
from functools import partial

import pytest
import torch
from small_brain import VALID, Filter, fit, make_brain

from speechbrain_dfkd import EnhancementBrain, FrozenTeacher
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.teacher.frozen import fingerprint

NO_CHECKPOINTS = {"ckpt_interval_steps": 0}
# Unless a test says otherwise: what is bad must not come into one.
make_brain = partial(make_brain, ckpt_interval_steps=1)


@pytest.fixture(autouse=True)
def without_scores(monkeypatch):
    monkeypatch.setattr(EnhancementBrain, "_score", lambda brain: {})


@pytest.fixture
def teacher():
    return FrozenTeacher(Filter(seed=2))


def spoil(brain, steps):
    """Let the input of some steps be NaN, so that all that follows is."""
    forward, brain.made = brain.compute_forward, 0

    def compute_forward(batch, stage):
        brain.made += brain.modules.training
        if brain.made in steps and brain.modules.training:
            batch.noisy_sig.data[:] = math.nan
        return forward(batch, stage)

    brain.compute_forward = compute_forward
    return brain


def is_finite(module):
    values = module.state_dict().values()
    return all(torch.isfinite(value).all() for value in values)


def test_one_bad_batch_is_skipped_counted_and_leaves_nothing(tmp_path, teacher):
    brain = fit(spoil(make_brain(tmp_path, teacher, epochs=2), steps=[6]))
    assert is_finite(brain.modules), "neither weights nor running statistics"
    assert brain.modules.student.norm.num_batches_tracked == 7
    assert brain.train_stats["skipped_steps"] == 1
    assert math.isfinite(brain.train_stats["l_kd"])
    expected = brain.train_stats["l_se"] + 0.5 * brain.train_stats["l_kd"]
    assert brain.train_stats["loss"] == pytest.approx(expected, rel=1e-5)
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert "skipped_steps" not in first
    assert "skipped_steps: 1" in second


def test_a_bad_first_batch_does_not_pull_the_mean_to_0(tmp_path):
    brain = fit(spoil(make_brain(tmp_path, epochs=1), steps=[1]))
    stats = brain.train_stats
    assert stats["loss"] == pytest.approx(stats["l_se"], rel=1e-5)


@pytest.mark.parametrize("bad", [[3], [4], [3, 4]])
def test_a_bad_batch_spoils_the_step_it_is_accumulated_for(tmp_path, bad):
    options = {"grad_accumulation_factor": 2, **NO_CHECKPOINTS}
    brain = make_brain(tmp_path, epochs=1, **options)
    start = fit(make_brain(tmp_path / "a", epochs=1, optimizer_step_limit=1,
                           **options))  # fmt: skip
    fit(spoil(brain, steps=bad))
    assert brain.train_stats["skipped_steps"] == 1
    assert torch.equal(
        brain.modules.student.conv.weight, start.modules.student.conv.weight
    )


def test_a_bad_gradient_of_a_good_loss_is_skipped(tmp_path):
    calls = []

    def loss(enhanced, clean, lengths):
        calls.append(None)
        value = si_snr_loss(enhanced, clean, lengths)
        if len(calls) == 2:  # 0, and its gradient is 0 / 0
            value = value + (enhanced * 0).abs().sqrt().sum()
        return value

    brain = fit(make_brain(tmp_path, epochs=1, supervised_loss=loss))
    assert is_finite(brain.modules)
    assert brain.train_stats["skipped_steps"] == 1


def test_bad_steps_in_a_row_end_the_training(tmp_path, teacher):
    options = {"nonfinite_patience": 2}
    bad = spoil(make_brain(tmp_path, teacher, **options), range(6, 20))
    with pytest.raises(UserError) as raised:
        fit(bad)
    text = str(raised.value)
    assert "3 steps in a row" in text
    assert "step 4 of epoch 2, in l_se, l_kd, l_low, with u" in text
    assert "make these recordings anew" in text
    good = fit(make_brain(tmp_path, teacher, **options))
    assert type(good).steps == 3, "the same command goes on"
    whole = fit(make_brain(tmp_path / "whole", teacher, **options))
    assert fingerprint(good.modules) == fingerprint(whole.modules)


def test_bad_steps_that_alternate_with_good_ones_do_not(tmp_path):
    options = {"nonfinite_patience": 1}
    brain = spoil(make_brain(tmp_path, **options), steps=[1, 3, 6, 8])
    assert fit(brain).train_stats["skipped_steps"] == 2


def test_a_bad_teacher_is_named(tmp_path, teacher):
    torch.nn.init.constant_(teacher.model.conv.weight, math.nan)
    with pytest.raises(
        UserError, match="in l_kd, l_low, with .*the teacher's output"
    ):
        fit(make_brain(tmp_path, teacher, nonfinite_patience=20))


def test_no_bad_weights_are_saved_after_a_rate_that_is_too_high(tmp_path):
    brain = make_brain(tmp_path)
    brain.opt_class = lambda weights: torch.optim.SGD(weights, lr=1e30)
    with pytest.raises(UserError, match="lower --lr"):
        fit(brain)
    again = make_brain(tmp_path)
    again.checkpointer.recover_if_possible()
    assert is_finite(again.modules)


def test_a_validation_without_a_finite_loss_ends_the_training(tmp_path):
    brain = make_brain(tmp_path, epochs=1)
    forward = brain.compute_forward

    def compute_forward(batch, stage):
        if not brain.modules.training:
            batch.noisy_sig.data[:] = math.nan
        return forward(batch, stage)

    brain.compute_forward = compute_forward
    with pytest.raises(UserError, match="validation loss must be finite"):
        fit(brain)


def test_the_rate_is_set_by_the_mean_validation_loss(tmp_path):
    brain, seen = make_brain(tmp_path, epochs=1), []

    def lr_annealing(optimizers, epoch, loss):
        seen.append(loss)
        return 0.01, 0.01

    brain.hparams.lr_annealing = lr_annealing
    fit(brain)
    with torch.no_grad():
        losses = [
            si_snr_loss(
                brain.modules.student.eval()(item["noisy_sig"][None]).wav,
                item["clean_sig"][None],
                torch.ones(1),
            )
            for item in (VALID[i] for i in range(len(VALID)))
        ]
    assert seen == [pytest.approx(sum(losses).item() / len(losses))]
