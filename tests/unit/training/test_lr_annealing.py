"""The learning rate: plateaus, and the decay at the end."""

import pytest
import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.training.lr_annealing import PlateauThenDecay


def rates(schedule, losses, first=1, rate=1.0):
    """Return the rate of each epoch, and the one after the last."""
    adam = torch.optim.Adam([torch.zeros(1)], lr=rate)
    for epoch, loss in enumerate(losses, first):
        _, rate = schedule([adam], epoch, loss)
        yield adam.param_groups[0]["lr"]
        adam.param_groups[0]["lr"] = rate
    yield rate


@pytest.mark.parametrize(
    "losses",
    [
        [3.0, 4.0, 4.0, 4.0, 2.0, 5.0, 5.0],
        [2e5] * 7,  # above its anchor from the first epoch on
    ],
)
def test_without_a_decay_it_is_speechbrains_schedule(losses):
    ours = PlateauThenDecay(EpochCounter(limit=7), 0.3, 1)
    theirs = ReduceLROnPlateau(factor=0.3, patience=1, dont_halve_until_epoch=0)
    found = [*rates(ours, losses)]
    assert found == [*rates(theirs, losses)]
    assert found[-1] < 1


def test_by_default_the_third_epoch_without_progress_halves_the_rate():
    schedule = PlateauThenDecay(EpochCounter(limit=6))
    found = [*rates(schedule, [1.0, 1.0, 2.0, 2.0, 2.0, 0.5])]
    assert found == [1, 1, 1, 1, 1, 0.5, 0.5]


def test_decay_is_linear_over_the_last_epochs():
    schedule = PlateauThenDecay(EpochCounter(limit=10), decay_share=0.4)
    found = list(rates(schedule, range(0, -10, -1)))[:10]
    assert found == pytest.approx([1] * 6 + [0.8, 0.6, 0.4, 0.2])


def test_plateaus_count_within_the_decay_too():
    schedule = PlateauThenDecay(
        EpochCounter(limit=4), factor=0.5, patience=0, decay_share=1.0
    )
    found = list(rates(schedule, [1.0, 2.0, 0.0, 0.0]))[:4]
    assert found == pytest.approx([1, 0.75, 0.5 / 2, 0.25 / 2])


def test_longer_training_goes_on_at_the_rate_it_ended_with():
    schedule = PlateauThenDecay(EpochCounter(limit=2), decay_share=1.0)
    *_, last = rates(schedule, [0.0, -1.0])
    assert last == pytest.approx(0.5)
    schedule.epoch_counter.limit = 4
    more = rates(schedule, [-2.0, -3.0], first=3, rate=last)
    assert list(more)[:2] == pytest.approx([0.5, 0.25])


def test_state_survives_a_checkpoint(tmp_path):
    losses = [1.0, 2.0, 2.0, 2.0]
    make = lambda: PlateauThenDecay(EpochCounter(limit=9), 0.5, 2)  # noqa: E731
    whole = list(rates(make(), losses))
    first, second = make(), make()
    *_, rate = rates(first, losses[:2])
    first.save(tmp_path / "schedule")
    second.load(tmp_path / "schedule")
    assert list(rates(second, losses[2:], 3, rate))[-1] == whole[-1] < 1
