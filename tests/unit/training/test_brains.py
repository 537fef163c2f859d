"""The Brains: what is trained, and what is kept."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from small_brain import Filter, fit, make_brain
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn

from speechbrain_dfkd import EnhancementBrain, FrozenTeacher
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.training import enhancement_brain


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

    def score():
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


class Level(nn.Module):
    """Sets the level of all it is given, padding and the other end included."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.ones(1))
        self.sizes = []

    def forward(self, noisy, features=()):
        self.sizes.append(tuple(noisy.shape))
        power = noisy.square().mean(1, keepdim=True)
        return Enhanced(self.level * noisy / power.sqrt(), {})


def recordings(*samples):
    draw = torch.Generator().manual_seed(0)
    wavs = {f"u{n}": torch.randn(n, generator=draw) for n in samples}
    data = {name: {"wav": wav} for name, wav in wavs.items()}
    items = [
        {"func": lambda x: x, "takes": ["wav"], "provides": f"{side}_sig"}
        for side in ("noisy", "clean")
    ]
    return DynamicItemDataset(data, items, ["id", "noisy_sig", "clean_sig"])


def test_padding_changes_neither_what_is_scored_nor_the_loss(tmp_path):
    found = []
    for size in (1, 3):
        brain = make_brain(tmp_path)
        brain.modules["student"] = network = Level()
        clips = {}
        brain.on_stage_end = lambda *stage: None  # no scores
        brain.hparams.supervised_loss = lambda estimate, target, lengths: (
            (estimate.square().mean(1) / lengths).mean()
        )

        def start(stage, epoch, brain=brain, clips=clips):
            EnhancementBrain.on_stage_start(brain, stage)
            add = lambda clip: clips.update({clip[0]: clip[1:]})  # noqa: E731
            brain._scoring = SimpleNamespace(add=add)

        brain.on_stage_start = start
        options = {"batch_size": size}
        data = recordings(50, 100, 80, 90)
        loss = brain.evaluate(data, test_loader_kwargs=options)
        found.append((loss, clips, network.sizes))
    (alone, expected, _), (together, clips, sizes) = found
    assert sizes == [(1, 50), (1, 100), (1, 80), (1, 90)]
    assert together == pytest.approx(alone)
    for name, (clean, enhanced) in expected.items():
        assert np.array_equal(clips[name][0], clean)
        assert np.array_equal(clips[name][1], enhanced)
        assert len(enhanced) == int(name[1:])


def test_utterances_of_one_length_are_enhanced_at_once(tmp_path):
    brain = make_brain(tmp_path)
    brain.modules["student"] = network = Level()
    brain.on_stage_start(Stage.VALID, 1)
    signal = torch.ones(2, 100)
    batch = PaddedBatch(
        [
            {"id": str(i), "noisy_sig": x, "clean_sig": x}
            for i, x in enumerate(signal)
        ]
    )
    brain.compute_forward(batch, Stage.VALID)
    assert network.sizes == [(2, 100)]


def test_a_gpu_enhances_while_others_are_scored(tmp_path, monkeypatch):
    asked = []

    class Beside(scoring.Scoring):
        def __init__(self, rate, metrics, beside, progress):
            asked.append(beside)
            super().__init__(rate, metrics, beside=True)

    after = fit(make_brain(tmp_path / "after", epochs=1))
    monkeypatch.setattr(enhancement_brain, "Scoring", Beside)
    assert fit(make_brain(tmp_path / "b", epochs=1)).scores == after.scores
    assert len(after.scores.rows) == 2 and not any(asked)
    after.device = "cuda:0"
    after.on_stage_start(Stage.VALID, 1)
    assert asked[-1]


def test_a_wav_is_neither_clipped_nor_rounded_away(tmp_path, capsys):
    brain = make_brain(tmp_path)
    wavs = {
        "usual": [0.5, -0.99],
        "loud": [0.5, -1500.0],
        "quiet": [1e-5, -1.1e-5],
        "silent": [0.0, 0.0],
        "empty": [],
    }
    hparams = brain.hparams
    hparams.save_enhanced, hparams.enhanced_folder = True, tmp_path / "out"
    clips = {name: np.array(wav, "float32") for name, wav in wavs.items()}

    def end(names):
        brain.on_stage_start(Stage.TEST)
        for name in names:
            brain._write_enhanced(name, clips[name])
        brain.on_stage_end(Stage.TEST, 0.0)

    end(wavs)
    for name, wav in wavs.items():
        saved, _ = soundfile.read(tmp_path / f"out/{name}.wav")
        tolerance = 2**-15 if name == "usual" else 0
        assert saved == pytest.approx(wav, abs=tolerance, rel=1e-6)
    kind = {n: soundfile.info(tmp_path / f"out/{n}.wav").subtype for n in wavs}
    assert [n for n in wavs if kind[n] == "FLOAT"] == ["loud", "quiet"]
    assert "2 files are float32" in capsys.readouterr().out
    end(["usual"])
    assert not capsys.readouterr().out
