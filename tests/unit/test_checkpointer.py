"""A checkpoint exists only when it is complete."""

import pytest
import torch

from speechbrain_dfkd.checkpointer import AtomicCheckpointer


class Killed(BaseException):
    """Stands for the death of the process."""


def dies(obj, path):
    raise Killed


def test_kill_while_saving_leaves_the_checkpoint_before(tmp_path):
    layer = torch.nn.Linear(1, 1)
    AtomicCheckpointer(tmp_path, {"layer": layer}).save_checkpoint({"n": 1})
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    checkpointer.add_recoverable("other", object(), custom_save_hook=dies)
    with pytest.raises(Killed):
        checkpointer.save_checkpoint({"n": 2})

    again = AtomicCheckpointer(tmp_path, {"layer": layer})
    assert again.recover_if_possible().meta["n"] == 1
    again.save_checkpoint({"n": 3})
    assert len(list(tmp_path.glob("CKPT+*"))) == 2, "the broken one is swept"
    assert again.recover_if_possible().meta["n"] == 3


def test_weights_come_back(tmp_path):
    layer = torch.nn.Linear(3, 3)
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    checkpointer.save_and_keep_only(meta={"pesq_wb": 2.0})
    before = layer.weight.clone()
    torch.nn.init.zeros_(layer.weight)
    checkpointer.recover_if_possible(max_key="pesq_wb")
    torch.testing.assert_close(layer.weight, before)
