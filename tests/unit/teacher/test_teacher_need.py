"""What of a leaf asks for a teacher, and for features that it must have."""

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import FrameSimilarity, WaveformResponse
from speechbrain_dfkd.models import DCCRN, ConvTasNet
from speechbrain_dfkd.teacher.frozen import check_objective, teacher_roles


def hparams_of(objective, **changes):
    return {
        "kd_weight": 1.0,
        "init_from_teacher": False,
        "clean_as_teacher": False,
        "kd": {"name": "mine", "loss": objective},
        "student": {"model": ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1)},
        "teacher": {"model": DCCRN(channels=(4, 8), lstm_units=4)},
        **changes,
    }


@pytest.mark.parametrize("loss", [WaveformResponse(), "!new:Mine", {"tag": 1}])
def test_a_teacher_is_needed_by_the_objective_and_its_weight(loss):
    """Whether settings are plain values or hold their objects."""
    start = {"init_from_teacher": True}
    assert teacher_roles(hparams_of(loss)) == {"follow"}
    assert teacher_roles(hparams_of(loss, **start)) == {"follow", "start"}
    nobody = [
        (loss, {"kd_weight": 0}),
        (loss, {"clean_as_teacher": True}),
        (None, {}),
    ]
    for objective, changes in nobody:
        assert teacher_roles(hparams_of(objective, **changes)) == set()
        started = hparams_of(objective, **changes, **start)
        assert teacher_roles(started) == {"start"}


def test_a_teacher_is_needed_where_no_student_is_scored():
    asked = hparams_of(None, score_systems=["noisy", "teacher"])
    assert teacher_roles(asked) == {"score"}
    asked["score_systems"] = ["student"]
    assert teacher_roles(asked) == set()


def test_settings_of_a_teacher_need_none():
    assert teacher_roles({"teacher": {}, "sample_rate": 16000}) == set()


@pytest.mark.parametrize(
    "names, message",
    [
        ((["rnn"], ["rnn"]), "student_features must be among encoder, block.0"),
        ((["mask"], ["mask"]), "teacher_features must be among encoder.0"),
    ],
)
def test_features_that_a_network_lacks_are_refused_at_the_start(names, message):
    check_objective(hparams_of(FrameSimilarity(["mask"], ["rnn"])))
    check_objective(hparams_of(None))
    with pytest.raises(UserError, match=message):
        check_objective(hparams_of(FrameSimilarity(*names)))
