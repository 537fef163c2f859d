"""The cache holds what the teacher makes, once, and for that teacher alone."""

import os
import threading

import numpy as np
import pytest
import torch
from cached_run import FRAMES, RATE, Delay, Run, files, write_recordings
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from speechbrain_dfkd.teacher import cache
from speechbrain_dfkd.teacher.frozen import CachedTeacher, FrozenTeacher


@pytest.fixture
def manifest(tmp_path):
    return write_recordings(tmp_path)


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


@pytest.mark.parametrize("num_workers", [0, 2])
def test_recordings_of_one_length_are_made_at_once(tmp_path, num_workers):
    frames = {f"{i}": 500 for i in range(5)} | {"long": 800}
    manifest = write_recordings(tmp_path, frames)
    alone = Run(tmp_path / "alone", manifest, eval_batch_size=1)
    alone.prepare()
    assert alone.model.calls == 6
    run = Run(tmp_path, manifest, num_workers=num_workers)
    run.prepare()
    assert run.model.calls == 4  # two, two, one; and the long one
    made, expected = (
        {path.name: content for path, (_, content) in files(folder).items()}
        for folder in (tmp_path / "cache", tmp_path / "alone")
    )
    assert made == expected and len(made) == 6


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
    monkeypatch.setattr(cache, "VERSION", 2)
    assert made(Run(tmp_path, manifest)) == 4
    assert len(list((tmp_path / "cache").glob("delay-*"))) == 5


def test_nothing_of_the_training_is_drawn(tmp_path, manifest):
    torch.manual_seed(0), np.random.seed(0)
    Run(tmp_path, manifest).prepare()
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(0), np.random.seed(0)
    assert (torch.rand(1), np.random.rand()) == drawn
