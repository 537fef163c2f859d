"""The text log, and TensorBoard beside it."""

import builtins

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.training.train_logger import TrainLogger

STATS = ({"lr": 0.5, "epoch": 3}, {"loss": 2.5}, {"loss": 3.5, "stoi": 0.5})


def test_without_it_there_is_a_text_file_only(tmp_path):
    TrainLogger(tmp_path / "log.txt").log_stats(*STATS)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_epochs_are_drawn_where_they_belong(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    logger = TrainLogger(tmp_path / "log.txt", tensorboard=True)
    assert not (tmp_path / "tensorboard").exists(), "not before it is needed"
    logger.log_stats(*STATS)
    logger.log_stats({"epoch loaded": 3}, test_stats={"loss": 1.0})
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    points = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert points["loss/train"] == [(3, 2.5)]
    assert points["stoi/valid"] == [(3, 0.5)]
    assert points["lr"] == [(3, 0.5)]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if "tensorboard" in name:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TrainLogger(tmp_path / "log.txt", tensorboard=True)
