"""The control: the clean signal in the teacher's place."""

import pytest
import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from torch import nn

from speechbrain_dfkd import DFKDBrain
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    DFKDLoss,
    FrameSimilarity,
    KDLoss,
    SelectivePatches,
    WaveformResponse,
    si_snr_loss,
)
from speechbrain_dfkd.losses.crossover import FrequencyAdapter
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT
from speechbrain_dfkd.teacher.frozen import CleanTeacher, check_objective

DFKD = DFKDLoss(STFT(), FrequencyAdapter())


class Student(nn.Module):
    """Adds a trained constant; its features have the names asked for."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.1))

    def forward(self, noisy, features=()):
        return Enhanced(noisy + self.shift, dict.fromkeys(features, 1))


@pytest.fixture
def batch():
    torch.manual_seed(0)
    noisy, clean = torch.randn(2, 2, 4000)
    return PaddedBatch(
        [
            {
                "id": str(i),
                "noisy_sig": noisy[i],
                "clean_sig": clean[i][:frames],
            }
            for i, frames in enumerate((4000, 2000))
        ]
    )


def distilled(objective, batch):
    """Return the loss of a brain whose supervised loss is 0, and its terms."""
    hparams = {
        "supervised_loss": lambda estimate, *rest: 0 * estimate.sum(),
        "kd_weight": 1.0,
        "kd_ramp": 0.0,
        "kd_stop": 1.0,
        "kd_gradient_ratio": None,
    }
    modules = {"student": Student(), "kd_loss": objective}
    brain = DFKDBrain(
        modules, None, hparams, {"device": "cpu"}, teacher=CleanTeacher()
    )
    outputs = brain.compute_forward(batch, Stage.TRAIN)
    return brain.compute_objectives(outputs, batch, Stage.TRAIN), brain.terms


@pytest.mark.parametrize("objective", [DFKD, WaveformResponse()])
def test_is_the_objective_with_clean_for_a_teacher(objective, batch):
    clean, lengths = batch.clean_sig
    student = Student()(batch.noisy_sig.data)
    expected, expected_terms = objective(
        student, Enhanced(clean, {}), clean, lengths
    )
    found, terms = distilled(objective, batch)
    assert found.equal(expected)
    logged = terms.means().keys() | terms.histograms().keys()
    assert logged == expected_terms.keys() | {"l_se", "l_kd"}


def test_selection_has_the_clean_signal_for_the_better_one(batch):
    _, terms = distilled(SelectivePatches(DFKD, 20, fraction=None), batch)
    # It is never worse, and as good only where a bin is real: at 0 Hz.
    assert terms.means()["selected_share"] > 0.95


def test_the_objective_is_given_what_it_asks_for(batch):
    class Asking(KDLoss):
        student_features = ("rnn",)

        def forward(self, *inputs):
            self.inputs = inputs
            return inputs[0].wav.sum(), {}

    objective = Asking()
    distilled(objective, batch)
    student, teacher, clean, lengths = objective.inputs
    assert student.features == {"rnn": 1}
    assert clean is batch.clean_sig.data and lengths is batch.clean_sig.lengths
    assert teacher.wav is clean and teacher.features == {}


def test_features_of_a_clean_waveform_do_not_exist():
    hparams = {
        "kd": {"loss": FrameSimilarity(["rnn"], ["rnn"])},
        "clean_as_teacher": True,
    }
    message = "clean_as_teacher must be False .* got True with FrameSimilarity;"
    with pytest.raises(UserError, match=message):
        check_objective(hparams)


def test_a_network_is_kept_for_what_started_from_it():
    network = nn.Linear(1, 1)
    assert CleanTeacher(network).model is network
    assert CleanTeacher().model is None


def test_padding_counts_as_in_any_objective(batch):
    clean, lengths = batch.clean_sig
    expected = si_snr_loss(Student()(batch.noisy_sig.data).wav, clean, lengths)
    found, _ = distilled(WaveformResponse(), batch)
    assert found.item() == pytest.approx(expected.item())
