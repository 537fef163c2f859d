"""What an objective needs, the Brain gives it, and nothing else."""

import copy
from types import SimpleNamespace

import pytest
import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn

from speechbrain_dfkd import DFKDBrain, FrozenTeacher
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    KDLoss,
    WaveformResponse,
    si_snr_loss,
    snr_loss,
)
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.teacher.frozen import CleanTeacher, fingerprint


class Recorder(nn.Module):
    """A network of one weight, which notes what features it is asked for."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.asked = []

    def forward(self, noisy, features=()):
        self.asked.append(tuple(features))
        wav = self.gain * noisy
        return Enhanced(wav, dict.fromkeys(features, wav[:, None]))

    def scale_output(self, factor):
        self.gain.data.mul_(factor)

    def negate(self):
        self.scale_output(-1)


class FeatureError(KDLoss):
    student_features = ("middle",)
    teacher_features = ("early", "late")

    def forward(self, student, teacher, clean, lengths):
        assert student.features.keys() == {"middle"}
        assert teacher.features.keys() == {"early", "late"}
        return student.wav.square().mean(), {}


class WaveformMean(KDLoss):
    """No error, and no gradient, where the student is its teacher."""

    def forward(self, student, teacher, clean, lengths):
        return (student.wav - teacher.wav).square().mean(), {}


class FourTimes(KDLoss):
    """Four times the supervised loss; counts its calls as a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, student, teacher, clean, lengths):
        self.calls += 1
        return 4 * si_snr_loss(student.wav, clean, lengths), {}


class Constant(KDLoss):
    """Does not depend on the student."""

    def forward(self, student, teacher, clean, lengths):
        return clean.new_zeros(()), {}


class Restless(nn.Module):
    """A network whose training moves statistics and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)
        self.norm = nn.BatchNorm1d(1)

    def forward(self, noisy, features=()):
        dropped = nn.functional.dropout(noisy, 0.2, self.training)
        return Enhanced(self.norm(self.conv(dropped[:, None]))[:, 0], {})


@pytest.fixture
def data():
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 3, 400)
    return [
        {"id": str(i), "clean_sig": clean[i], "noisy_sig": clean[i] + n}
        for i, n in enumerate(noise)
    ]


@pytest.fixture
def batch(data):
    return PaddedBatch(data)


def make_brain(
    objective, teacher=None, kd_weight=2.0, student=None, **schedule
):
    hparams = {
        "supervised_loss": si_snr_loss,
        "kd_weight": kd_weight,
        "kd_ramp": 0.0,
        "kd_stop": 1.0,
        "kd_gradient_ratio": None,
        "kd_gradient_batches": 2,
        "batch_size": 2,
        "align_polarity": True,
        "scale_teacher": True,
        "init_from_teacher": False,
        **schedule,
    }
    return DFKDBrain(
        {"student": student or Recorder(), "kd_loss": objective},
        None,
        hparams,
        {"device": "cpu"},
        teacher=FrozenTeacher(teacher)
        if isinstance(teacher, Recorder)
        else teacher,
    )


def step(brain, batch, stage=Stage.TRAIN):
    brain._scoring = SimpleNamespace(add=lambda clip: None)
    with torch.set_grad_enabled(stage == Stage.TRAIN):
        outputs = brain.compute_forward(batch, stage)
        return brain.compute_objectives(outputs, batch, stage)


def test_networks_are_asked_for_the_features_of_the_objective(batch):
    teacher = Recorder()
    brain = make_brain(FeatureError(), teacher)
    step(brain, batch)
    assert brain.modules.student.asked == [("middle",)]
    assert teacher.asked == [("early", "late")]
    step(brain, batch, Stage.VALID)
    assert brain.modules.student.asked == [("middle",), ()]
    assert len(teacher.asked) == 1


def test_clean_takes_the_place_of_the_teacher(batch):
    objective = WaveformResponse()
    brain = make_brain(objective, CleanTeacher())
    supervised = make_brain(objective, CleanTeacher(), kd_weight=0)
    # The same loss to the same target, weighted 1 + 2.
    alone = step(supervised, batch)
    assert step(brain, batch).item() == pytest.approx(3 * alone.item())
    assert brain.terms.means().keys() == {"l_se", "l_kd", "l_waveform"}
    assert supervised.terms.means().keys() == {"l_se"}
    assert step(brain, batch, Stage.VALID).equal(alone)


def test_no_distillation_is_supervised_training(batch):
    alone = make_brain(WaveformResponse(), kd_weight=0)
    step(alone, batch).backward()
    for brain in (
        make_brain(None),
        make_brain(None, Recorder(), kd_gradient_ratio=0.5),
        make_brain(WaveformResponse()),
    ):
        brain.measure_kd_weight(None)
        step(brain, batch).backward()
        found, expected = (b.modules.student.gain.grad for b in (brain, alone))
        assert found.equal(expected)
        assert brain.terms.means().keys() == {"l_se"}


def test_weight_balances_gradients_and_leaves_no_trace(data, capsys):
    student, objective = Restless(), FourTimes()
    before = copy.deepcopy([student.state_dict(), objective.state_dict()])
    state = torch.get_rng_state()
    brain = make_brain(
        objective, CleanTeacher(), student=student, kd_gradient_ratio=0.5
    )
    brain.measure_kd_weight(data)
    assert brain.schedule.weight == pytest.approx(0.5 / 4)
    assert "kd_weight: 0.125 = 0.5 * " in capsys.readouterr().out
    after = [student.state_dict(), objective.state_dict()]
    for old, new in zip(before, after, strict=True):
        assert all(value.equal(new[key]) for key, value in old.items())
    assert all(weight.grad is None for weight in student.parameters())
    assert torch.get_rng_state().equal(state)


def test_weight_0_is_no_distillation_whatever_the_ratio():
    brain = make_brain(
        FourTimes(), CleanTeacher(), kd_weight=0, kd_gradient_ratio=0.5
    )
    brain.measure_kd_weight(None)
    assert brain.kd_weight() == 0


def test_objective_without_gradient_has_no_ratio(data):
    still = make_brain(Constant(), CleanTeacher(), kd_gradient_ratio=0.5)
    with pytest.raises(UserError, match=r"L_KD\|\| is 0; pass --kd_weight"):
        still.measure_kd_weight(data)
    twin = make_brain(WaveformMean(), Recorder(), kd_gradient_ratio=0.5)
    with pytest.raises(UserError, match="start elsewhere than at its teacher"):
        twin.measure_kd_weight(data)


def test_accumulated_batches_have_one_weight():
    counter = EpochCounter(2)
    brain = make_brain(
        FourTimes(),
        CleanTeacher(),
        kd_ramp=0.5,
        kd_stop=0.75,
        epoch_counter=counter,
    )
    brain.steps_per_epoch, brain.grad_accumulation_factor = 4, 2
    weights = []
    for counter.current in (1, 2):
        for brain.step in (1, 2, 3, 4):
            weights.append(brain.kd_weight())
    assert weights == [0, 0, 1, 1, 2, 2, 0, 0]


def recorder(gain):
    network = Recorder()
    network.gain.data.fill_(gain)
    return network


@pytest.mark.parametrize("teacher", [-2.0, 2.0, None])
@pytest.mark.parametrize(
    ("objective", "options", "gain"),
    [
        (WaveformMean(), {}, 0.5),
        (WaveformMean(), {"align_polarity": False}, -0.5),
        # Also one that follows nobody: it is deployed all the same.
        (WaveformMean(), {"kd_weight": 0}, 0.5),
        (None, {}, 0.5),
    ],
)
def test_student_starts_with_the_polarity_of_the_speech(
    data, objective, teacher, options, gain
):
    student = recorder(-0.5)
    teacher = CleanTeacher() if teacher is None else recorder(teacher)
    brain = make_brain(objective, teacher, student=student, **options)
    state = torch.get_rng_state()
    brain.align_polarity(data)
    assert student.gain.item() == gain
    assert student.gain.grad is None
    assert torch.get_rng_state().equal(state)


def test_trained_network_is_not_deployed_inverted(data, capsys):
    student = recorder(-0.5)
    brain = make_brain(None, student=student)
    for _ in range(2):  # a repeated command ends with the same weights
        student.gain.data.fill_(-0.5)
        brain.correct_polarity(data)
        assert student.gain.item() == 0.5
    assert "the trained student" in capsys.readouterr().out
    brain.correct_polarity(data)
    assert student.gain.item() == 0.5 and not capsys.readouterr().out
    student.gain.data.fill_(-0.5)
    brain.hparams.align_polarity = False
    brain.correct_polarity(data)
    assert student.gain.item() == -0.5
    assert "align_polarity is False" in capsys.readouterr().out


def shares_of_speech(data):
    """The gain at which a Recorder of gain 1 puts out the clean speech."""
    pairs = [(item["noisy_sig"], item["clean_sig"]) for item in data]
    noisy, clean = (
        torch.cat([x.double() - x.double().mean() for x in signals])
        for signals in zip(*pairs, strict=True)
    )
    return (noisy @ clean / (clean @ clean)).item()


@pytest.mark.parametrize("gain", [1.0, -1.0, 1500.0, -0.001])
def test_teacher_gets_sign_and_level_of_the_speech(data, gain, capsys):
    teacher = recorder(gain)
    brain = make_brain(WaveformMean(), teacher)
    before = fingerprint(teacher)
    brain.scale_teacher(data)
    expected = 1 / (gain * shares_of_speech(data))
    assert brain.teacher.scale == pytest.approx(expected, rel=1e-5)
    assert fingerprint(teacher) == before
    assert "multiplied by" in capsys.readouterr().out


def test_objective_and_weight_do_not_depend_on_the_teachers_level(data, batch):
    losses = []
    for gain in (1.0, -1.0, 1500.0):
        student = recorder(-0.5)
        brain = make_brain(
            WaveformMean(),
            recorder(gain),
            student=student,
            supervised_loss=snr_loss,
            kd_gradient_ratio=0.5,
        )
        brain.scale_teacher(data)
        brain.align_polarity(data)
        brain.measure_kd_weight(data)
        loss = step(brain, batch)
        loss.backward()
        losses.append(
            (brain.kd_weight(), loss.item(), student.gain.grad.item())
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)


@pytest.mark.parametrize("starts_from_it", [True, False])
def test_student_that_starts_from_its_teacher_has_its_level(
    data, starts_from_it
):
    student = recorder(-1500.0)
    brain = make_brain(
        WaveformMean(),
        recorder(-1500.0),
        student=student,
        init_from_teacher=starts_from_it,
    )
    brain.scale_teacher(data)
    expected = 1 / shares_of_speech(data) if starts_from_it else -1500
    assert student.gain.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "teacher", "options"),
    [
        (WaveformMean(), FrozenTeacher(recorder(-2.0)), {"kd_weight": 0}),
        (None, FrozenTeacher(recorder(-2.0)), {}),
        (WaveformMean(), CleanTeacher(recorder(-2.0)), {}),
    ],
)
def test_teacher_that_is_not_followed_is_not_measured(
    objective, teacher, options, capsys
):
    brain = make_brain(objective, teacher, **options)
    brain.scale_teacher(None)
    assert getattr(teacher, "scale", 1) == 1 and not capsys.readouterr().out


def test_inverted_teacher_that_is_left_is_named(data, capsys):
    brain = make_brain(WaveformMean(), recorder(-2.0), scale_teacher=False)
    brain.scale_teacher(data)
    assert brain.teacher.scale == 1
    assert "scale_teacher is False" in capsys.readouterr().out


def test_teacher_of_no_finite_output_is_refused(data):
    brain = make_brain(WaveformMean(), recorder(float("nan")))
    with pytest.raises(UserError, match="teacher's output must be finite"):
        brain.scale_teacher(data)
