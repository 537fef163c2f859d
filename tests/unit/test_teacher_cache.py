"""The cache holds what the teacher makes, once, and for that teacher alone."""

import os
import threading

import numpy as np
import pytest
import soundfile
import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import nn
from torch.utils.data import DataLoader

from speechbrain_dfkd import DFKDBrain, teacher_cache
from speechbrain_dfkd.data.dataset import crop_recordings
from speechbrain_dfkd.data.manifest import write_json
from speechbrain_dfkd.data.mixtures import Mixtures
from speechbrain_dfkd.data.remix import remix_recordings
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    CleanAsTeacher,
    FrameSimilarity,
    NoDistillation,
    WaveformResponse,
    si_snr_loss,
)
from speechbrain_dfkd.models import Enhanced
from speechbrain_dfkd.teacher import CachedTeacher, FrozenTeacher
from speechbrain_dfkd.teacher_cache import check_cache, prepare_teacher

RATE, SEGMENT = 1000, 0.4
FRAMES = {"a_1": 1000, "a_2": 1001, "b_1": 400, "b_2": 100}


class Delay(nn.Module):
    """Adds an echo: what it makes of a crop is not a crop of its output."""

    def __init__(self, gain=0.5):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.calls = 0

    def forward(self, noisy, features=()):
        self.calls += 1
        assert not self.training
        echo = nn.functional.pad(noisy, (50, 0))[:, : noisy.shape[1]]
        return Enhanced(noisy + self.gain * echo, {})


@pytest.fixture
def manifest(tmp_path):
    draw, entries = np.random.default_rng(0), {}
    for name, frames in FRAMES.items():
        entries[name] = {"length": frames / RATE}
        for side in ("noisy", "clean"):
            path = tmp_path / f"{side}_{name}.wav"
            wav = 0.1 * draw.normal(size=frames)
            soundfile.write(path, wav, RATE, subtype="FLOAT")
            entries[name][f"{side}_wav"] = str(path)
    path = tmp_path / "train.json"
    write_json(path, entries)
    return path


class Run:
    """What a recipe has when its teacher is trained."""

    def __init__(self, folder, manifest, segment=SEGMENT, epoch=0, **changes):
        self.model = changes.pop("model", Delay())
        counter = EpochCounter(limit=9)
        counter.current = epoch
        self.train_set = crop_recordings(manifest, segment, RATE, 1, counter)
        self.hparams = {
            "teacher_cache": True,
            "teacher_cache_folder": str(folder / "cache"),
            "kd_weight": 1.0,
            "modules": {"kd_loss": WaveformResponse()},
            **changes,
        }
        self.settings = {
            "teacher": {"name": "delay", "taps": 2},
            "sample_rate": RATE,
        }
        self.options = {"device": "cpu", "noprogressbar": True}

    def prepare(self, **options):
        options = RunOptions(**self.options, **options)
        return prepare_teacher(
            self.model, self.hparams, self.settings, self.train_set, options
        )


def files(folder):
    return {
        path: (path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*.f16")
    }


def close(first, second):
    return torch.allclose(first, second, rtol=2**-11, atol=1e-9)


def test_a_whole_utterance_is_what_the_teacher_makes_of_it(tmp_path, manifest):
    run = Run(tmp_path, manifest, segment=1.001)
    teacher = run.prepare()
    assert isinstance(teacher, CachedTeacher)
    for item in run.train_set:
        batch = PaddedBatch([item])
        cached = teacher.estimate(batch).wav
        made = FrozenTeacher(run.model).estimate(batch).wav
        assert close(cached, made)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_crops_are_cut_and_padded_like_the_recordings(
    tmp_path, manifest, num_workers
):
    run = Run(tmp_path, manifest, epoch=3)
    run.prepare()
    whole = Run(tmp_path, manifest, segment=1.001).train_set
    whole = {item["id"]: item["noisy_sig"] for item in whole}
    loader = DataLoader(
        run.train_set, 4, collate_fn=PaddedBatch, num_workers=num_workers
    )
    (batch,) = loader
    assert batch.teacher_sig.lengths.equal(batch.noisy_sig.lengths)
    for i, name in enumerate(batch.id):
        full = FrozenTeacher(run.model)(whole[name][None]).wav[0]
        start, frames = run.train_set.crop.span(name, len(full) / RATE)
        cut = batch.teacher_sig.data[i]
        assert close(cut[:frames], full[start : start + frames])
        assert not cut[frames:].any()


def test_the_second_run_makes_nothing(tmp_path, manifest, capsys):
    Run(tmp_path, manifest).prepare()
    assert "4 files, 5.02e-06 GB; to be made: 4" in capsys.readouterr().out
    before = files(tmp_path)
    again = Run(tmp_path, manifest)
    again.prepare()
    assert again.model.calls == 0
    assert len(before) == len(FRAMES) and files(tmp_path) == before
    assert "to be made: 0 files, 0 GB" in capsys.readouterr().out


def test_what_was_killed_goes_on(tmp_path, manifest, monkeypatch):
    class Mortal(Delay):
        def forward(self, noisy, features=()):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().forward(noisy, features)

    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, manifest, model=Mortal()).prepare()
    assert len(files(tmp_path)) == 2
    rest = Run(tmp_path, manifest)
    rest.prepare()
    assert rest.model.calls == 2 and len(files(tmp_path)) == 4


def test_broken_files_are_made_again(tmp_path, manifest):
    Run(tmp_path, manifest).prepare()
    before = {path: content for path, (_, content) in files(tmp_path).items()}
    short, zero, gone, kept = before
    short.write_bytes(before[short][:-2])
    zero.write_bytes(bytes(len(before[zero])))
    gone.unlink()
    again = Run(tmp_path, manifest)
    again.prepare()
    assert again.model.calls == 3
    assert {path: c for path, (_, c) in files(tmp_path).items()} == before


def test_two_at_once_end_with_whole_files(tmp_path, manifest):
    meeting = threading.Barrier(2)

    class Met(Delay):
        def forward(self, noisy, features=()):
            if self.calls == 0:
                meeting.wait(timeout=20)
            return super().forward(noisy, features)

    runs = [Run(tmp_path, manifest, model=Met()) for _ in range(2)]
    threads = [threading.Thread(target=run.prepare) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    third = Run(tmp_path, manifest)
    third.prepare()
    assert third.model.calls == 0
    assert not list(tmp_path.rglob("*.part"))
    for run in runs:
        assert len([item["teacher_sig"] for item in run.train_set]) == 4


def test_what_another_process_makes_meanwhile_is_left_out(tmp_path, manifest):
    class Overtaken(Delay):
        def forward(self, noisy, features=()):
            if self.calls == 0:
                faster.prepare()
            return super().forward(noisy, features)

    faster = Run(tmp_path, manifest)
    slower = Run(tmp_path, manifest, model=Overtaken())
    slower.prepare()
    assert (faster.model.calls, slower.model.calls) == (4, 1)


def test_all_that_decides_has_a_folder_of_its_own(
    tmp_path, manifest, monkeypatch
):
    def made(run):
        run.prepare()
        return run.model.calls

    assert made(Run(tmp_path, manifest)) == 4
    assert made(Run(tmp_path, manifest, model=Delay(0.25))) == 4
    other_network = Run(tmp_path, manifest)
    other_network.settings["teacher"]["taps"] = 3
    assert made(other_network) == 4
    os.utime(tmp_path / "noisy_a_1.wav", ns=(1, 1))
    assert made(Run(tmp_path, manifest)) == 4
    monkeypatch.setattr(teacher_cache, "VERSION", 2)
    assert made(Run(tmp_path, manifest)) == 4
    assert len(list((tmp_path / "cache").glob("delay-*"))) == 5


def test_nothing_of_the_training_is_drawn(tmp_path, manifest):
    torch.manual_seed(0), np.random.seed(0)
    Run(tmp_path, manifest).prepare()
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(0), np.random.seed(0)
    assert (torch.rand(1), np.random.rand()) == drawn


@pytest.mark.parametrize("option", ["test_only", "debug"])
def test_a_run_that_hardly_trains_makes_none(tmp_path, manifest, option):
    teacher = Run(tmp_path, manifest).prepare(**{option: True})
    assert isinstance(teacher, FrozenTeacher) and files(tmp_path) == {}


@pytest.mark.parametrize("gain", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_refused(tmp_path, manifest, gain):
    run = Run(tmp_path, manifest, model=Delay(gain))
    with pytest.raises(UserError, match=r"must be finite .*noisy_\w+\.wav"):
        run.prepare()
    assert files(tmp_path) == {}


def test_a_disk_without_room_is_refused_first(tmp_path, manifest, monkeypatch):
    def no_room(folder, needed):
        assert needed == 2 * sum(FRAMES.values()) + 4 * len(FRAMES)
        raise UserError("no room")

    monkeypatch.setattr(teacher_cache, "require_room", no_room)
    run = Run(tmp_path, manifest)
    with pytest.raises(UserError, match="no room"):
        run.prepare()
    assert run.model.calls == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path, manifest):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="teacher_cache_folder must be a fold"):
        Run(tmp_path, manifest).prepare()


def test_a_lost_recording_is_named(tmp_path, manifest):
    run = Run(tmp_path, manifest)
    (tmp_path / "noisy_b_1.wav").unlink()
    with pytest.raises(UserError, match=r"noisy_b_1\.wav must exist"):
        run.prepare()


def test_the_cache_is_wanted_by_what_follows_a_teacher(tmp_path, manifest):
    def wanted(**changes):
        return check_cache(Run(tmp_path, manifest, **changes).hparams)

    assert wanted()
    assert not wanted(teacher_cache=False)
    assert not wanted(kd_weight=0)
    for loss in (NoDistillation(), CleanAsTeacher(WaveformResponse())):
        assert not wanted(modules={"kd_loss": loss})


def test_what_cannot_be_stored_is_refused(tmp_path, manifest):
    hparams, counter = Run(tmp_path, manifest).hparams, EpochCounter(9)
    remixed = remix_recordings(manifest, SEGMENT, RATE, 1, counter)
    for mixed in (remixed, Mixtures(None, 1, 0, counter)):
        with pytest.raises(UserError, match="mixed while it is trained on"):
            check_cache(hparams, mixed)
        assert not check_cache({**hparams, "kd_weight": 0}, mixed)
    hparams["modules"] = {"kd_loss": FrameSimilarity(["mask"], ["rnn"])}
    with pytest.raises(UserError, match="features, got True with rnn"):
        check_cache(hparams)


def test_a_student_follows_the_cache_and_the_teacher_is_not_run(
    tmp_path, manifest
):
    run = Run(tmp_path, manifest, segment=1.001)
    cached = run.prepare()
    batch = PaddedBatch([run.train_set[0]])
    calls = run.model.calls
    losses = []
    for teacher in (cached, FrozenTeacher(run.model)):
        student = nn.Conv1d(1, 1, 1)
        nn.init.ones_(student.weight), nn.init.zeros_(student.bias)
        modules = {"student": Student(student), "kd_loss": WaveformResponse()}
        constant = {"kd_ramp": 0.0, "kd_stop": 1.0, "kd_gradient_ratio": None}
        hparams = {"supervised_loss": si_snr_loss, "kd_weight": 2.0, **constant}
        brain = DFKDBrain(
            modules, None, hparams, {"device": "cpu"}, teacher=teacher
        )
        outputs = brain.compute_forward(batch, Stage.TRAIN)
        loss = brain.compute_objectives(outputs, batch, Stage.TRAIN)
        losses.append(loss.item())
        assert brain.compute_forward(batch, Stage.VALID)[1] is None
        calls += teacher is not cached
        assert run.model.calls == calls
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


class Student(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, noisy, features=()):
        return Enhanced(self.conv(noisy[:, None])[:, 0], {})
