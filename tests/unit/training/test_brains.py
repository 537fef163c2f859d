"""The Brains: what is trained, and what is kept."""

import json

import numpy as np
import pytest
import soundfile
import torch
from small_brain import Filter, fit, make_brain

from speechbrain_dfkd import EnhancementBrain, FrozenTeacher
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.teacher.frozen import fingerprint


@pytest.fixture(autouse=True)
def one_worker(monkeypatch):
    """Score in one process, which waits for the next test."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(scoring, "IDLE_SECONDS", 300)


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


def test_the_time_of_steps_is_kept_apart_from_checkpoints(tmp_path, teacher):
    brain = make_brain(tmp_path, teacher, epochs=2)
    nothing = {"steps": None, "seconds_per_step": None, "kd_weight": None}
    assert brain.record() == nothing
    fit(brain)
    timing = json.loads((tmp_path / "timing.json").read_text())
    assert list(timing["seconds"]) == ["1", "2"]
    assert timing["steps"] == brain.optimizer_step > 0
    assert all(seconds > 0 for seconds in timing["seconds"].values())
    # Another process that goes on with the best epoch.
    assert make_brain(tmp_path, teacher).record() == brain.record()


def test_the_time_of_a_step_is_the_median_of_the_epochs(tmp_path, teacher):
    timing = {"steps": 21, "seconds": {"1": 9.0, "2": 2.0, "3": 3.0}}
    (tmp_path / "timing.json").write_text(json.dumps(timing))
    record = make_brain(tmp_path, teacher).record()
    assert (record["steps"], record["seconds_per_step"]) == (21, 3.0)


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


@pytest.mark.parametrize(("metric", "best"), [("pesq_wb", 1), ("si_sdr", 2)])
def test_best_checkpoint_is_that_of_the_best_metric(tmp_path, metric, best):
    brain = make_brain(tmp_path, epochs=3, best_metric=metric)
    values = iter([(2.0, 7.0), (3.0, 8.0), (1.0, 9.0)])
    prints = []

    def score(stage):
        prints.append(fingerprint(brain.modules.student))
        return dict(zip(("pesq_wb", "si_sdr"), next(values), strict=True))

    brain._score = score
    fit(brain)
    brain.checkpointer.recover_if_possible(max_key=metric)
    assert fingerprint(brain.modules.student) == prints[best]


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


def test_a_wav_is_neither_clipped_nor_rounded_away(tmp_path, capsys):
    brain = make_brain(tmp_path)
    wavs = {
        "usual": [0.5, -0.99],
        "loud": [0.5, -1500.0],
        "quiet": [1e-5, -1.1e-5],
        "silent": [0.0, 0.0],
        "empty": [],
    }
    brain._kept = [
        (name, None, np.array(wav, "float32")) for name, wav in wavs.items()
    ]
    brain._write_enhanced(tmp_path / "out")
    for name, wav in wavs.items():
        saved, _ = soundfile.read(tmp_path / f"out/{name}.wav")
        tolerance = 2**-15 if name == "usual" else 0
        assert saved == pytest.approx(wav, abs=tolerance, rel=1e-6)
    kind = {n: soundfile.info(tmp_path / f"out/{n}.wav").subtype for n in wavs}
    assert [n for n in wavs if kind[n] == "FLOAT"] == ["loud", "quiet"]
    assert "2 of 5 files are float32" in capsys.readouterr().out
    brain._kept = brain._kept[:1]
    brain._write_enhanced(tmp_path / "out")
    assert not capsys.readouterr().out
