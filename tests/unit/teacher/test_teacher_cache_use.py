"""When a training has a cache, what cannot have one, and who follows it."""

import errno
import os
from types import SimpleNamespace

import pytest
from cached_run import (
    FRAMES,
    RATE,
    SEGMENT,
    Delay,
    Run,
    files,
    write_recordings,
)
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn

from speechbrain_dfkd import DFKDBrain
from speechbrain_dfkd.data.mixtures import Mixtures
from speechbrain_dfkd.data.remix import remix_recordings
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    FrameSimilarity,
    WaveformResponse,
    si_snr_loss,
)
from speechbrain_dfkd.models import Enhanced
from speechbrain_dfkd.teacher import cache
from speechbrain_dfkd.teacher.cache import TeacherCache, check_cache
from speechbrain_dfkd.teacher.frozen import FrozenTeacher


@pytest.fixture
def manifest(tmp_path):
    return write_recordings(tmp_path)


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
    needed = 2 * sum(FRAMES.values()) + 4 * len(FRAMES)
    disk = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: disk)
    run = Run(tmp_path, manifest)
    with pytest.raises(UserError, match=f"room, got {tmp_path}/cache.*: No sp"):
        run.prepare()
    assert run.model.calls == 0
    disk.free = needed
    run.prepare()
    assert run.model.calls == len(FRAMES)


def test_a_disk_that_gets_full_keeps_what_is_finished(
    tmp_path, manifest, monkeypatch
):
    write = TeacherCache.write

    def write_two(self, name, wav):
        if len(files(tmp_path)) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, wav)

    with monkeypatch.context() as patch:
        patch.setattr(TeacherCache, "write", write_two)
        with pytest.raises(UserError, match="cache.*free some space.*goes on"):
            Run(tmp_path, manifest).prepare()
    assert len(files(tmp_path)) == 2
    rest = Run(tmp_path, manifest)
    rest.prepare()
    assert rest.model.calls == len(FRAMES) - 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, manifest):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="got .*cache/.*: Not a directory"):
        Run(tmp_path, manifest).prepare()


def test_the_cache_is_wanted_by_what_follows_a_teacher(tmp_path, manifest):
    def wanted(**changes):
        return check_cache(Run(tmp_path, manifest, **changes).hparams)

    assert wanted()
    assert not wanted(teacher_cache=False)
    assert not wanted(kd_weight=0)
    assert not wanted(kd={"loss": None})
    assert not wanted(clean_as_teacher=True)


def test_what_cannot_be_stored_is_refused(tmp_path, manifest):
    hparams, counter = Run(tmp_path, manifest).hparams, EpochCounter(9)
    remixed = remix_recordings(manifest, SEGMENT, RATE, 1, counter)
    for mixed in (remixed, Mixtures(None, 1, 0, counter)):
        with pytest.raises(UserError, match="mixed while it is trained on"):
            check_cache(hparams, mixed)
        assert not check_cache({**hparams, "kd_weight": 0}, mixed)
    hparams["kd"] = {"loss": FrameSimilarity(["mask"], ["rnn"])}
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
