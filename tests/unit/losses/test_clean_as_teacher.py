"""The control: the clean signal in the teacher's place."""

import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    CleanAsTeacher,
    DFKDLoss,
    FrameSimilarity,
    KDLoss,
    NoDistillation,
    SelectivePatches,
    WaveformResponse,
    choose_target,
)
from speechbrain_dfkd.losses.crossover import FrequencyAdapter
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT

DFKD = DFKDLoss(STFT(), FrequencyAdapter())
LENGTHS = torch.tensor([1.0, 0.5])


@pytest.mark.parametrize("objective", [DFKD, WaveformResponse()])
def test_is_the_objective_with_clean_for_a_teacher(objective):
    torch.manual_seed(0)
    student, clean = torch.randn(2, 2, 4000)
    control = CleanAsTeacher(objective)
    outputs = Enhanced(student, {}), Enhanced(clean, {})
    expected, expected_terms = objective(*outputs, clean, LENGTHS)
    found, terms = control(outputs[0], None, clean, LENGTHS)
    assert found.equal(expected)
    assert terms.keys() == expected_terms.keys()


def test_selection_has_the_clean_signal_for_the_better_one():
    torch.manual_seed(0)
    student, clean = torch.randn(2, 2, 4000)
    control = CleanAsTeacher(SelectivePatches(DFKD, 20, fraction=None))
    _, terms = control(Enhanced(student, {}), None, clean, LENGTHS)
    # It is never worse, and as good only where a bin is real: at 0 Hz.
    assert terms["selected_share"] > 0.95


def test_the_objective_is_given_what_it_asks_for():
    class Asking(KDLoss):
        student_features = ("rnn",)

        def forward(self, *inputs):
            self.inputs = inputs

    control = choose_target(Asking(), True)
    assert tuple(control.student_features) == ("rnn",)
    assert not control.teacher_features
    student, clean = Enhanced(torch.zeros(2, 9), {"rnn": 1}), torch.ones(2, 9)
    control(student, None, clean, LENGTHS)
    given = control.objective.inputs
    assert given[0] is student and given[2] is clean and given[3] is LENGTHS
    assert given[1].wav is clean and given[1].features == {}


def test_the_switch():
    assert choose_target(DFKD, False) is DFKD
    chosen = choose_target(DFKD, True)
    assert isinstance(chosen, CleanAsTeacher) and chosen.objective is DFKD
    assert not chosen.needs_teacher
    assert not choose_target(NoDistillation(), False).needs_teacher


def test_features_of_a_clean_waveform_do_not_exist():
    message = "clean_as_teacher must be False .* got True with FrameSimilarity;"
    with pytest.raises(UserError, match=message):
        choose_target(FrameSimilarity(["rnn"], ["rnn"]), True)
