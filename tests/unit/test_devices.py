"""Networks, losses and steps on a device whose values cannot be read.

Fake tensors on "cuda" have shape, type and device, and no values: what is left
on the CPU is an error, as on a GPU, and so is each question for a value, which
there waits for the device. The meta device has backward passes as well.
"""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch
from every_loss import HALVES, OBJECTIVES, SUPERVISED
from small_brain import make_brain
from small_networks import NETWORKS, conv_tasnet
from speechbrain import Stage
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from speechbrain_dfkd.losses import supervised
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.teacher.frozen import FrozenTeacher

TYPES = [None, *HALVES]


@contextlib.contextmanager
def cuda_without_values(module=None, dtype=None):
    """Make tensors fake ones, and move a module's to "cuda".

    Autocast is set by hand, as ``torch.autocast("cuda")`` does nothing on a
    machine without one; LSTMs go without cuDNN, which asks for the device.
    """
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", dtype is not None)
    torch.set_autocast_dtype("cuda", dtype or before[1])
    try:
        with FakeTensorMode(), torch.backends.cudnn.flags(enabled=False):
            to_cuda(module or nn.Identity())
            yield
    finally:
        supervised._spectrum_response.cache_clear()  # a fake window
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])
        torch.clear_autocast_cache()


def to_cuda(module):
    # Module.to would ask for a driver.
    for part in module.modules():
        for kind in (part._parameters, part._buffers):
            for name, value in kind.items():
                if value is None:
                    continue
                fake = torch.empty(
                    value.shape, dtype=value.dtype, device="cuda"
                )
                is_weight = isinstance(value, nn.Parameter)
                kind[name] = nn.Parameter(fake) if is_weight else fake
        if isinstance(part, nn.LSTM):
            part._flat_weights = [
                getattr(part, name) for name in part._flat_weights_names
            ]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_asks_for_no_value(name, dtype):
    make, settings = NETWORKS[name]
    model = make(**settings)
    with cuda_without_values(model, dtype):
        # Short: such an LSTM is gone through step by step.
        noisy = torch.empty(2, 65, device="cuda")
        wav, features = model(noisy, model.feature_names)
        assert wav.shape == noisy.shape
        assert {x.device for x in (wav, *features.values())} == {noisy.device}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_asks_for_no_value(name, dtype):
    loss = copy.deepcopy(OBJECTIVES[name])
    with cuda_without_values(loss, dtype):
        student, teacher, clean = torch.empty(3, 2, 8000, device="cuda")
        feature = torch.empty(2, 3, 5, 81, device="cuda")
        value, terms = loss(
            Enhanced(student, dict.fromkeys(loss.student_features, feature)),
            Enhanced(teacher, dict.fromkeys(loss.teacher_features, feature)),
            clean,
            torch.empty(2, device="cuda"),
        )
        assert value.shape == () and value.dtype == torch.float32
        assert {x.device for x in (value, *terms.values())} == {clean.device}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("loss", SUPERVISED.values())
def test_a_supervised_loss_asks_for_no_value(loss, dtype):
    with cuda_without_values(dtype=dtype):
        estimate, clean = torch.empty(2, 2, 8000, device="cuda")
        value = loss(estimate, clean, torch.empty(2, device="cuda"))
        assert value.shape == () and value.dtype == torch.float32
        assert value.device == clean.device


class MetaBatch(SimpleNamespace):
    """A batch that is on the device of the Brain."""

    def to(self, device, non_blocking=False):
        return self


def meta_batch():
    noisy, clean = torch.empty(2, 2, 401, device="meta")
    lengths = torch.empty(2, device="meta")
    signal = SimpleNamespace
    return MetaBatch(
        id=["a", "b"],
        noisy_sig=signal(data=noisy, lengths=lengths),
        clean_sig=(clean, lengths),
    )


@pytest.mark.parametrize("objective", ["dfkd", "recommended", "dispatch"])
def test_a_step_asks_for_no_value_before_its_end(objective, tmp_path):
    brain = make_brain(tmp_path, FrozenTeacher(conv_tasnet(wider=1)))
    brain.device = "meta"
    student = brain.modules["student"] = conv_tasnet().to("meta")
    brain.modules["kd_loss"] = copy.deepcopy(OBJECTIVES[objective]).to("meta")
    brain.teacher.to("meta")
    brain.on_stage_start(Stage.TRAIN, 1)
    for _ in range(2):
        batch = meta_batch()
        with brain.training_ctx:
            outputs = brain.compute_forward(batch, Stage.TRAIN)
            loss = brain.compute_objectives(outputs, batch, Stage.TRAIN)
        brain.check_loss_isfinite(loss)
        loss.backward()
    assert all(weight.grad.is_meta for weight in student.parameters())
    assert brain.terms.counts["l_kd"] == 2
