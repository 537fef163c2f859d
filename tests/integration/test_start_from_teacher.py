"""A student whose first weights are its teacher's strongest channels."""

import pytest
import torch
from recipe_runs import WEIGHTS

from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.training.student_start import initialise_from_teacher

pytestmark = pytest.mark.slow

FOLDER = "dccrn_eighth-from-dccrn_quarter/dfkd_0-seed_1234-initialised"


def weights(folder):
    return torch.load(folder / WEIGHTS, weights_only=True)


@pytest.fixture
def start(call, finished):
    """Return a function that runs such a student, its teacher not run."""

    def start(results, **changes):
        options = finished.options(
            results_folder=results,
            teacher_ckpt=finished.teacher,
            init_from_teacher=True,
            kd_weight=0,
            **changes,
        )
        code, stdout, stderr = call(options)
        assert code == 0, stderr
        return stdout, weights(results / FOLDER)

    return start


def test_first_weights_are_the_teachers(start, finished, tmp_path):
    # A rate that no float32 sum can notice leaves them as they were.
    _, ours = start(tmp_path, lr="1.0e-30", number_of_epochs=1)
    teacher = DCCRN([4, 8, 16, 32, 32, 32], lstm_units=32)
    teacher.load_state_dict(weights(finished.teacher))
    expected = DCCRN([2, 4, 8, 16, 16, 16], lstm_units=16)
    initialise_from_teacher(expected, teacher)
    for name, weight in expected.named_parameters():
        assert torch.equal(ours[name], weight), name
    assert "l_kd" not in (tmp_path / FOLDER / "train_log.txt").read_text()


def test_resume_goes_on_from_the_checkpoint(start, tmp_path):
    _, whole = start(tmp_path / "whole")
    start(tmp_path / "resumed", number_of_epochs=1)
    stdout, resumed = start(tmp_path / "resumed")
    assert "Going into epoch 1" not in stdout
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
    names = [path / FOLDER / "train_log.txt" for path in tmp_path.iterdir()]
    assert names[0].read_text() == names[1].read_text()
