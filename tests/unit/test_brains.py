"""The Brains: what is trained, what is kept, and that a kill changes nothing."""

import numpy as np
import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.seed import seed_everything
from speechbrain.utils.train_logger import FileTrainLogger
from torch import nn

from speechbrain_dfkd import DFKDBrain, EnhancementBrain, FrozenTeacher
from speechbrain_dfkd.checkpointer import AtomicCheckpointer
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import KDLoss, si_snr_loss
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.teacher import fingerprint

RATE = 16000


@pytest.fixture(autouse=True)
def score_in_process(monkeypatch):
    """Start no worker processes for two clips."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


class Filter(nn.Module):
    """A short filter with batch norm: learns in a few steps, has buffers."""

    def __init__(self, seed):
        super().__init__()
        seed_everything(seed, verbose=False)
        self.conv = nn.Conv1d(1, 1, 9, padding=4)
        self.norm = nn.BatchNorm1d(1)

    def forward(self, noisy, features=()):
        return Enhanced(self.norm(self.conv(noisy[:, None]))[:, 0], {})


class WaveformKD(KDLoss):
    """The smallest objective that keeps the contract of KD losses."""

    def forward(self, student, teacher, clean, lengths):
        loss = (student.wav - teacher.wav).square().mean()
        histogram = torch.tensor([1.0, 2.0, 1.0])
        return loss, {"l_low": loss.detach(), "crossover_histogram": histogram}


def speech_like(seed, seconds):
    """Noise that comes in bursts, which PESQ takes for speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    carrier = np.convolve(
        rng.standard_normal(len(time)), np.ones(8) / 8, "same"
    )
    return 0.1 * carrier * (np.sin(2 * np.pi * 3 * time) > 0)


def dataset(seeds, seconds):
    def pair(i):
        clean = speech_like(i, seconds)
        noise = np.random.default_rng(1000 + i).standard_normal(len(clean))
        return clean, clean + 0.02 * noise

    data = {f"u{i}": {"seed": i} for i in seeds}
    items = [
        {
            "func": lambda i, k=k: torch.tensor(pair(i)[k]).float(),
            "takes": ["seed"],
            "provides": name,
        }
        for k, name in enumerate(("clean_sig", "noisy_sig"))
    ]
    return DynamicItemDataset(data, items, ["id", "noisy_sig", "clean_sig"])


TRAIN = dataset(range(8), 0.5)
VALID = dataset(range(100, 102), 1.5)


def make_brain(
    folder, teacher=None, epochs=2, kill_at=None, kd_weight=0.5, **schedule
):
    """Return a Brain as a recipe makes it; it dies at step ``kill_at``."""
    student = Filter(seed=1)
    objects = {
        "student": student,
        "lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "epoch_counter": EpochCounter(epochs),
    }
    hparams = {
        **objects,
        "sample_rate": RATE,
        "supervised_loss": si_snr_loss,
        "train_logger": FileTrainLogger(str(folder / "log.txt")),
        "output_folder": str(folder),
        "save_enhanced": False,
        "kd_weight": kd_weight,
        "kd_ramp": 0.0,
        "kd_stop": 1.0,
        "kd_gradient_ratio": None,
        "kd_gradient_batches": 2,
        "batch_size": 2,
        "ckpt_interval_steps": 1,
        **schedule,
    }

    class Mortal(DFKDBrain):
        steps = 0

        def on_fit_batch_end(self, batch, outputs, loss, should_step):
            Mortal.steps += 1
            if Mortal.steps == kill_at:
                raise KeyboardInterrupt

    return Mortal(
        {"student": student, "kd_loss": WaveformKD()},
        lambda parameters: torch.optim.Adam(parameters, lr=0.01),
        hparams,
        {"device": "cpu", "noprogressbar": True},
        AtomicCheckpointer(folder / "save", objects),
        teacher,
    )


def fit(brain):
    # The sampler's order comes from the seed of the run.
    seed_everything(7, verbose=False)
    if isinstance(brain, DFKDBrain):
        brain.measure_kd_weight(TRAIN)
    brain.fit(
        brain.hparams.epoch_counter,
        TRAIN,
        VALID,
        train_loader_kwargs={"batch_size": 2, "shuffle": True},
        valid_loader_kwargs={"batch_size": 1},
    )
    return brain


@pytest.fixture
def teacher():
    return FrozenTeacher(Filter(seed=2))


def test_only_the_student_learns(tmp_path, teacher):
    before = fingerprint(teacher.model)
    brain = fit(make_brain(tmp_path, teacher, epochs=1))
    assert fingerprint(teacher.model) == before, "not even batch norm moved"
    assert not teacher.model.training
    trained = {id(p) for g in brain.optimizer.param_groups for p in g["params"]}
    assert trained == {id(p) for p in brain.modules.student.parameters()}
    assert fingerprint(brain.modules.student) != fingerprint(Filter(seed=1))


def test_checkpoint_holds_no_teacher(tmp_path, teacher):
    brain = fit(make_brain(tmp_path, teacher, epochs=1))
    (checkpoint,) = brain.checkpointer.list_checkpoints()
    sizes = {k: p.stat().st_size for k, p in checkpoint.paramfiles.items()}
    assert sizes["teacher_fingerprint"] == 64
    state = torch.load(checkpoint.paramfiles["student"])
    assert state.keys() == Filter(seed=1).state_dict().keys()


def test_loss_is_supervised_plus_weighted_kd(tmp_path, teacher):
    brain = make_brain(tmp_path, teacher, epochs=1, kd_weight=0.25)
    stats = fit(brain).train_stats
    expected = stats["l_se"] + 0.25 * stats["l_kd"]
    assert stats["loss"] == pytest.approx(expected, rel=1e-5)
    assert stats["l_low"] == pytest.approx(stats["l_kd"])
    log = (tmp_path / "log.txt").read_text()
    for name in ("l_se", "l_kd", "crossover_histogram_p50_hz", "pesq_wb"):
        assert name in log


def test_histogram_is_written_in_hz(tmp_path, teacher):
    fit(make_brain(tmp_path, teacher, epochs=2))
    lines = (tmp_path / "crossover_histogram.csv").read_text().split()
    assert lines == ["epoch,0,4000,8000", "1,4,8,4", "2,4,8,4"]


def test_no_teacher_is_plain_supervised_training(tmp_path):
    alone = fit(make_brain(tmp_path / "alone", teacher=None))
    supervised_folder = tmp_path / "supervised"
    reference = make_brain(supervised_folder)
    reference.__class__ = EnhancementBrain
    reference.trained = "student"
    fit(reference)
    assert "l_kd" not in alone.train_stats
    assert fingerprint(alone.modules.student) == fingerprint(
        reference.modules.student
    )


def test_teacher_of_no_weight_is_not_run(tmp_path):
    """It may have given the first weights, so that it must stay the same."""

    class Unused(Filter):
        def forward(self, noisy, features=()):
            raise AssertionError("the teacher was run")

    unused = FrozenTeacher(Unused(seed=2))
    student = fit(make_brain(tmp_path / "a", unused, kd_weight=0))
    alone = fit(make_brain(tmp_path / "b", None, kd_weight=0))
    assert fingerprint(student.modules.student) == fingerprint(
        alone.modules.student
    )
    with pytest.raises(UserError, match="the teacher must stay the same"):
        fit(make_brain(tmp_path / "a", FrozenTeacher(Filter(3)), kd_weight=0))


@pytest.mark.parametrize("kill_at", [1, 3, 4, 6, 8])
def test_killed_training_ends_with_the_same_weights(tmp_path, teacher, kill_at):
    whole = fit(make_brain(tmp_path / "whole", teacher))
    with pytest.raises(KeyboardInterrupt):
        fit(make_brain(tmp_path / "killed", teacher, kill_at=kill_at))
    resumed = fit(make_brain(tmp_path / "killed", teacher))
    assert fingerprint(resumed.modules.student) == fingerprint(
        whole.modules.student
    )
    # A kill between a step and its checkpoint repeats that one step.
    assert type(resumed).steps <= 8 - kill_at + 1
    assert resumed.train_stats == pytest.approx(whole.train_stats)


@pytest.fixture
def without_scores(monkeypatch):
    monkeypatch.setattr(EnhancementBrain, "_score", lambda brain, stage: {})


@pytest.mark.usefixtures("without_scores")
def test_killed_training_goes_on_in_its_schedule(tmp_path, teacher):
    folder = tmp_path / "killed"
    schedule = {"kd_ramp": 0.5, "kd_stop": 0.75, "kd_gradient_ratio": 0.3}
    whole = fit(make_brain(tmp_path / "whole", teacher, **schedule))
    with pytest.raises(KeyboardInterrupt):
        fit(make_brain(folder, teacher, kill_at=3, **schedule))
    resumed = fit(make_brain(folder, teacher, **schedule))
    assert fingerprint(resumed.modules.student) == fingerprint(
        whole.modules.student
    )
    assert resumed.train_stats == pytest.approx(whole.train_stats)


@pytest.mark.usefixtures("without_scores")
def test_weight_rises_ends_and_is_logged(tmp_path, teacher):
    schedule = {"kd_ramp": 0.5, "kd_stop": 0.75, "ckpt_interval_steps": 0}
    # At the beginning of the eight steps: 0, 1/8, 2/8, 3/8; 4/8, 4/8, 0, 0.
    half = fit(make_brain(tmp_path, teacher, epochs=2, **schedule))
    assert half.train_stats["kd_weight"] == pytest.approx(0.25)
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert "kd_weight: 1.88e-01" in log[0]


@pytest.mark.usefixtures("without_scores")
def test_stopped_teacher_is_not_run(tmp_path, teacher):
    calls = []
    teacher.model.register_forward_hook(lambda *call: calls.append(call))
    schedule = {"kd_stop": 0.625, "ckpt_interval_steps": 0}
    brain = make_brain(tmp_path, teacher, epochs=2, **schedule)
    fit(brain)
    assert len(calls) == 5
    alone = brain.train_stats["l_se"]
    weighed = 0.5 * brain.train_stats["l_kd"] / 4
    loss = brain.train_stats["loss"]
    assert loss == pytest.approx(alone + weighed, rel=1e-5)


@pytest.mark.usefixtures("without_scores")
def test_measuring_the_weight_changes_nothing_else(tmp_path, teacher):
    ratio = {"kd_gradient_ratio": 0.3, "ckpt_interval_steps": 0}
    measured = fit(make_brain(tmp_path / "a", teacher, **ratio))
    weight = measured.schedule.weight
    assert weight != 0.5
    assert measured.train_stats["kd_weight"] == pytest.approx(weight)
    ratio["kd_gradient_ratio"] = None
    given = fit(make_brain(tmp_path / "b", teacher, kd_weight=weight, **ratio))
    assert fingerprint(given.modules.student) == fingerprint(
        measured.modules.student
    )


@pytest.mark.usefixtures("without_scores")
def test_resume_keeps_the_measured_weight(tmp_path, teacher, capsys):
    ratio = {"kd_gradient_ratio": 0.3, "ckpt_interval_steps": 0}
    first = fit(make_brain(tmp_path, teacher, epochs=1, **ratio))
    assert "kd_weight: " in capsys.readouterr().out
    resumed = fit(make_brain(tmp_path, teacher, epochs=2, **ratio))
    assert resumed.schedule.weight == first.schedule.weight
    assert "kd_weight: " not in capsys.readouterr().out


def test_kill_in_validation_does_not_train_again(tmp_path, teacher):
    brain = make_brain(tmp_path, teacher, epochs=1)
    brain.evaluate_batch = None  # the first validation batch fails
    with pytest.raises(TypeError):
        fit(brain)
    resumed = fit(make_brain(tmp_path, teacher, epochs=1))
    assert type(resumed).steps == 0
    assert resumed.train_stats["l_kd"] > 0, "the log is complete all the same"


def test_other_teacher_is_refused_at_resume(tmp_path, teacher):
    fit(make_brain(tmp_path, teacher, epochs=1))
    other = FrozenTeacher(Filter(seed=3))
    with pytest.raises(UserError, match="the teacher must stay the same"):
        fit(make_brain(tmp_path, other, epochs=2))
    with pytest.raises(UserError, match="the teacher must stay the same"):
        fit(make_brain(tmp_path, None, epochs=2))


def test_best_checkpoint_is_that_of_highest_pesq(tmp_path, monkeypatch):
    brain = make_brain(tmp_path, epochs=3)
    values = iter([2.0, 3.0, 1.0])
    prints = []

    def score(stage):
        prints.append(fingerprint(brain.modules.student))
        return {"pesq_wb": next(values)}

    brain._score = score
    fit(brain)
    brain.checkpointer.recover_if_possible(max_key="pesq_wb")
    assert fingerprint(brain.modules.student) == prints[1]


def test_rate_is_lowered_when_validation_worsens(tmp_path):
    brain = make_brain(tmp_path, epochs=1)
    brain.hparams.lr_annealing.patience = 0
    brain.hparams.lr_annealing.anchor = -1000.0  # a better epoch came before
    fit(brain)
    assert brain.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


def test_padding_is_cut_before_scoring(tmp_path):
    brain = make_brain(tmp_path)
    brain._kept = []

    class Batch:
        id = ["short", "long"]
        clean_sig = (torch.ones(2, 100), torch.tensor([0.5, 1.0]))

    brain._keep(Batch, torch.ones(2, 100))
    assert [(name, len(wav)) for name, wav, _ in brain._kept] == [
        ("short", 50),
        ("long", 100),
    ]
