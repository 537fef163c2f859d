"""A measured and scheduled weight is the same in a run that was killed."""

import re

import pytest
import torch
from recipe_runs import WEIGHTS

from speechbrain_dfkd import DFKDBrain

pytestmark = pytest.mark.slow

# Seven steps: the weight rises in the first four and is 0 in the last two.
SCHEDULE = {"kd_gradient_ratio": 0.5, "kd_ramp": 0.5, "kd_stop": 0.7}
EVERY_STEP = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}


@pytest.fixture
def start(call, finished):
    """Return a function that distils the finished run's teacher."""

    def start(results):
        options = finished.options(
            results_folder=results,
            teacher_ckpt=finished.teacher,
            number_of_epochs=1,
            **SCHEDULE,
            **EVERY_STEP,
        )
        code, stdout, _ = call(options)
        return code, stdout

    return start


def kill_after(monkeypatch, steps):
    """Interrupt a training as a user does, once."""
    left = [steps]

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(DFKDBrain, "on_fit_batch_end", on_fit_batch_end)


def test_killed_run_keeps_weight_and_schedule(start, tmp_path, monkeypatch):
    measured = re.compile(r"kd_weight: \S+ = 0.5 \* \S+ / ")
    code, stdout = start(tmp_path / "whole")
    assert code == 0 and measured.search(stdout)
    kill_after(monkeypatch, 3)
    assert start(tmp_path / "killed")[0] == 130
    code, stdout = start(tmp_path / "killed")
    assert code == 0 and not measured.search(stdout)

    name = "*/dfkd_1.0-seed_1234-gradient_ratio_0.5-ramp_0.5-stop_0.7"
    (whole,) = tmp_path.glob(f"whole/{name}")
    (killed,) = tmp_path.glob(f"killed/{name}")
    expected = torch.load(whole / WEIGHTS, weights_only=True)
    for key, value in torch.load(killed / WEIGHTS, weights_only=True).items():
        assert value.equal(expected[key]), key
    log = (whole / "train_log.txt").read_text()
    assert log.count("kd_weight: ") == 1
    assert (killed / "train_log.txt").read_text() == log
