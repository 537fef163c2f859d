"""Files of weights are read without running what they hold."""

import fractions

import numpy as np
import pytest
import torch

from speechbrain_dfkd.checkpoint_file import differences, read_checkpoint
from speechbrain_dfkd.errors import UserError


def test_plain_content_and_a_version_are_read(tmp_path):
    content = {"a": torch.ones(2), "version": torch.__version__}
    torch.save(content, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth")
    assert read["a"].equal(content["a"])
    assert read["version"] == torch.__version__


@pytest.mark.parametrize(
    ("content", "needs"),
    [
        ({"score": np.float64(1.5)}, "numpy"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        ({"a": fractions.Fraction(1, 2)}, "fractions.Fraction"),
    ],
)
def test_what_needs_code_is_named(tmp_path, content, needs):
    path = tmp_path / "c.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match="without running code") as caught:
        read_checkpoint(path)
    for fragment in (str(path), needs, "weights_only=False", "state_dict()"):
        assert fragment in str(caught.value)


def test_checkpoint_of_a_training_is_refused(tmp_path):
    path = tmp_path / "c.ckpt"
    torch.save({"epoch": 1, "state_dict": {}, "optimizer_states": []}, path)
    with pytest.raises(UserError, match="optimizer_states.*serialize"):
        read_checkpoint(path)


def test_each_difference_is_found_once():
    one, two = torch.ones(1), torch.ones(2)
    found = differences({"b": one, "c": one, "d": two}, {"a": one, "b": one})
    assert found == ["missing: a", "unexpected: c", "unexpected: d"]
    assert differences({"a": one}, {"a": two}) == [
        "shape of a: (1,) in the file, (2,) in the network"
    ]
