"""What of a leaf asks for a teacher, and for features that it must have."""

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    CleanAsTeacher,
    FrameSimilarity,
    NoDistillation,
    WaveformResponse,
)
from speechbrain_dfkd.models import DCCRN, ConvTasNet
from speechbrain_dfkd.teacher.frozen import needs_teacher


def hparams_of(objective, kd_weight=1.0, init_from_teacher=False):
    return {
        "kd_weight": kd_weight,
        "init_from_teacher": init_from_teacher,
        "modules": {"kd_loss": objective},
        "student": {"model": ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1)},
        "teacher": {"model": DCCRN(channels=(4, 8), lstm_units=4)},
    }


def test_a_teacher_is_needed_by_the_objective_and_its_weight():
    response = WaveformResponse()
    assert needs_teacher(hparams_of(response))
    assert not needs_teacher(hparams_of(response, kd_weight=0))
    assert not needs_teacher(hparams_of(CleanAsTeacher(response)))
    assert not needs_teacher(hparams_of(NoDistillation()))
    assert needs_teacher(hparams_of(NoDistillation(), init_from_teacher=True))


@pytest.mark.parametrize(
    "names, message",
    [
        ((["rnn"], ["rnn"]), "student_features must be among encoder, block.0"),
        ((["mask"], ["mask"]), "teacher_features must be among encoder.0"),
    ],
)
def test_features_that_a_network_lacks_are_refused_at_the_start(names, message):
    assert needs_teacher(hparams_of(FrameSimilarity(["mask"], ["rnn"])))
    with pytest.raises(UserError, match=message):
        needs_teacher(hparams_of(FrameSimilarity(*names)))
