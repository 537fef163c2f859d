"""A checkpoint exists only when it is complete and finite."""

import errno
import math

import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.training.checkpointer import AtomicCheckpointer


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


def spoil_weights(layer, optimizer):
    torch.nn.init.constant_(layer.bias, math.nan)


def spoil_statistics(layer, optimizer):
    layer.running_var[1] = math.inf


def spoil_moments(layer, optimizer):
    optimizer.state[layer.weight]["exp_avg"][0] = math.nan


@pytest.fixture
def trained():
    """Return a layer with buffers and an optimizer with a state."""
    layer = torch.nn.BatchNorm1d(3)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    return layer, optimizer


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoil_weights, "layer.bias"),
        (spoil_statistics, "layer.running_var"),
        (spoil_moments, "optimizer.state.0.exp_avg"),
    ],
)
def test_what_is_not_finite_is_not_saved(tmp_path, trained, spoil, name):
    objects = dict(zip(("layer", "optimizer"), trained, strict=True))
    checkpointer = AtomicCheckpointer(tmp_path, objects)
    checkpointer.save_and_keep_only({"n": 1})
    spoil(*trained)
    with pytest.raises(UserError, match=f"finite, got NaN .*\n  {name}\n"):
        checkpointer.save_and_keep_only({"n": 2})
    assert checkpointer.recover_if_possible().meta["n"] == 1


def test_an_infinite_buffer_may_be_a_mask(tmp_path):
    layer = torch.nn.Linear(1, 1)
    layer.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    checkpointer.save_checkpoint()
    assert checkpointer.recover_if_possible()
    layer.mask[0] = math.nan
    with pytest.raises(UserError, match="  layer.mask\n"):
        checkpointer.save_checkpoint()


def test_what_is_not_finite_is_not_gone_on_with(tmp_path, trained):
    layer, _ = trained
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    checkpoint = checkpointer.save_checkpoint()
    state = {k: v * math.nan for k, v in layer.state_dict().items()}
    torch.save(state, checkpoint.paramfiles["layer"])
    with pytest.raises(UserError, match="layer.weight") as raised:
        checkpointer.recover_if_possible()
    assert f"delete {checkpoint.path}; the same" in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected"),
        RuntimeError("PytorchStreamWriter failed writing file data/0"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_full_disk_leaves_nothing_and_can_be_gone_on_with(tmp_path, error):
    def is_full(obj, path):
        path.write_bytes(b"half")
        raise error

    layer = torch.nn.Linear(1, 1)
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    checkpointer.save_checkpoint({"n": 1})
    checkpointer.add_recoverable("other", layer, custom_save_hook=is_full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        checkpointer.save_checkpoint({"n": 2})
    assert raised.value.errno == errno.ENOSPC
    assert len(list(tmp_path.iterdir())) == 1
    again = AtomicCheckpointer(tmp_path, {"layer": layer})
    again.save_checkpoint({"n": 3})
    assert again.recover_if_possible().meta["n"] == 3


def test_other_errors_while_saving_stay_what_they_are(tmp_path):
    def fails(obj, path):
        raise RuntimeError("a bug")

    checkpointer = AtomicCheckpointer(tmp_path)
    checkpointer.add_recoverable("x", object(), custom_save_hook=fails)
    with pytest.raises(RuntimeError, match="a bug"):
        checkpointer.save_checkpoint()
