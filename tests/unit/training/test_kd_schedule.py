"""The weight of distillation as a function of the training's progress."""

import pytest

from speechbrain_dfkd.training.checkpointer import AtomicCheckpointer
from speechbrain_dfkd.training.kd_weight import KDSchedule


def test_without_a_schedule_the_weight_is_constant():
    schedule = KDSchedule(0.3)
    assert schedule.is_constant
    assert [schedule.weight_at(p) for p in (0, 0.5, 0.999)] == [0.3] * 3


def test_a_ramp_over_the_whole_training_never_ends():
    schedule = KDSchedule(1.0, ramp=1.0)
    assert not schedule.is_constant
    assert [schedule.weight_at(p) for p in (0, 0.25, 0.75)] == [0, 0.25, 0.75]


def test_a_ramp_ends_at_the_full_weight():
    schedule = KDSchedule(3.0, ramp=0.5)
    rising = [schedule.weight_at(p) for p in (0, 0.25, 0.375, 0.5, 0.75)]
    assert rising == [0, 1.5, 2.25, 3, 3]


@pytest.mark.parametrize("stop", [i / 10 for i in range(1, 11)])
@pytest.mark.parametrize("steps", [7, 10])
def test_a_stop_in_tenths_ends_with_an_epoch_of_ten(stop, steps):
    """No rounding moves it by a step."""
    schedule = KDSchedule(1.0, stop=stop)
    weights = [
        schedule.weight_at(step / (10 * steps)) for step in range(10 * steps)
    ]
    assert schedule.is_constant == (stop == 1)
    expected = round(10 * stop) * steps
    assert weights == [1.0] * expected + [0.0] * (10 * steps - expected)


def test_checkpoint_keeps_every_digit_of_the_weight(tmp_path):
    weight = 0.1 + 0.2
    saver = AtomicCheckpointer(tmp_path, {"schedule": KDSchedule(weight)})
    saver.save_checkpoint()
    loaded = KDSchedule(1.0)
    AtomicCheckpointer(tmp_path, {"schedule": loaded}).recover_if_possible()
    assert loaded.weight == weight != 0.3
