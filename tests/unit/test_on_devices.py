"""Values and gradients on a device are those of a CPU; no step waits there.

With a GPU these tests run on it as well.
"""

import copy
from types import SimpleNamespace

import pytest
import torch
from every_loss import (
    DEVICES,
    HALVES,
    OBJECTIVES,
    SUPERVISED,
    autocast,
    outcome,
    relative,
    speech_like,
)
from small_brain import TRAIN, make_brain
from small_networks import NETWORKS, conv_tasnet
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch

from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.teacher.frozen import FrozenTeacher


@pytest.fixture(autouse=True)
def float32_as_it_is():
    """Compute float32 in float32: SpeechBrain allows TF32."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


def enhance(name, device, dtype=None, scale=1.0):
    """Return a network's output, and the gradient of each weight."""
    make, settings = NETWORKS[name]
    torch.manual_seed(0)
    model = make(**settings)
    with torch.no_grad():  # away from where a network returns its input
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    clean, noisy = (x.to(device) for x in speech_like(2, 2001))
    with autocast(device, dtype):
        wav = model.to(device)(noisy).wav
        loss = si_snr_loss(wav, clean, torch.ones(2, device=device))
    (scale * loss).backward()
    gradients = [w.grad.flatten().cpu() / scale for w in model.parameters()]
    return wav.detach().cpu(), torch.cat(gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_that_of_a_cpu(name, device):
    pairs = zip(enhance(name, device), enhance(name, "cpu"), strict=True)
    for value, expected in pairs:
        assert relative(value, expected) < 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_in_half_precision(name, dtype, device):
    # Where a gradient overflows, the scaler of fp16 halves its scale.
    scale = 256.0 if dtype == torch.float16 else 1.0
    wav, gradient = enhance(name, device, dtype, scale)
    expected = enhance(name, "cpu")
    assert wav.dtype == torch.float32
    assert relative(wav, expected[0]) < 0.02
    assert relative(gradient, expected[1]) < 0.2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*OBJECTIVES, *SUPERVISED])
def test_a_loss_is_that_of_a_cpu(name, device):
    pairs = zip(outcome(name, device), outcome(name), strict=True)
    for value, expected in pairs:
        assert relative(value, expected) < 1e-4


# The scale that SpeechBrain's gradient scaler begins with, and its signals:
# loud, quiet, long.
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "signal", [{}, {"peak": 1e-3}, {"samples": 64_000}], ids=str
)
@pytest.mark.parametrize("name", [*OBJECTIVES, *SUPERVISED])
def test_a_loss_stays_in_float32_under_autocast(name, signal, dtype, device):
    scale = 65536.0 if dtype == torch.float16 else 1.0
    value, gradient = outcome(name, device, dtype, scale, **signal)
    expected = outcome(name, **signal)
    assert value.dtype == torch.float32
    # On another device by rounding, with half precision by a hundredth.
    assert relative(value, expected[0]) < 1e-4
    assert relative(gradient, expected[1]) < 1e-4


def make_step(folder, objective, device):
    """Return a Brain on a device, and a batch there."""
    torch.manual_seed(0)
    brain = make_brain(
        folder,
        FrozenTeacher(conv_tasnet(wider=1)),
        student=conv_tasnet(),
        kd_loss=copy.deepcopy(OBJECTIVES[objective]),
        run_opts={"device": device},
    )
    brain.on_fit_start()
    brain.on_stage_start(Stage.TRAIN, 1)
    brain.modules.train()
    batch = PaddedBatch([TRAIN[i] for i in range(2)])
    return brain, batch.to(torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("objective", ["dfkd", "recommended", "dispatch"])
def test_a_step_waits_once_at_its_end(objective, device, tmp_path, monkeypatch):
    """SpeechBrain's ``optimizers_step`` looks at the gradients, once."""
    brain, batch = make_step(tmp_path, objective, device)
    on_gpu = device == "cuda"
    waits = torch.cuda.set_sync_debug_mode if on_gpu else lambda mode: None
    end_of_step, reached = brain.optimizers_step, []

    def optimizers_step():
        waits("default")
        reached.append(brain.step)
        end_of_step()

    monkeypatch.setattr(brain, "optimizers_step", optimizers_step)
    for brain.step in (1, 2, 3):
        # What is made once, as windows are, may wait in the first step.
        waits("error" if brain.step > 1 else "default")
        try:
            loss = brain.fit_batch(batch)
        finally:
            waits("default")
        assert loss.isfinite()
    assert reached == [1, 2, 3]
    assert brain.terms.counts["l_kd"] == 3


@pytest.mark.parametrize("device", DEVICES)
def test_a_scaler_of_fp16_trains(device, tmp_path):
    brain, batch = make_step(tmp_path, "dfkd", device)
    # As by --precision fp16, which SpeechBrain refuses on a CPU.
    brain.training_ctx = autocast(device, torch.float16)
    # A few halvings below its usual start, at which gradients overflow.
    brain.scaler = torch.amp.GradScaler(device, init_scale=2.0**13)
    before = [w.detach().clone() for w in brain.modules.student.parameters()]
    for brain.step in range(1, 6):
        loss = brain.fit_batch(batch)
    assert loss.isfinite() and brain.skipped_in_row == 0
    assert 1 <= brain.scaler.get_scale() <= 2**13
    after = list(brain.modules.student.parameters())
    assert all(weight.isfinite().all() for weight in after)
    assert not all(map(torch.equal, before, after))


STARTS = [
    ("cpu", "cpu"),
    *(
        pytest.param(*pair, marks=pytest.mark.gpu, id="-".join(pair))
        for pair in (("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda"))
    ),
]


@pytest.mark.parametrize(("saved_on", "loaded_on"), STARTS)
def test_a_checkpoint_goes_on_on_any_device(saved_on, loaded_on, tmp_path):
    def start(device):
        brain, batch = make_step(tmp_path, "dfkd", device)
        brain.scaler = torch.amp.GradScaler(device)
        brain.checkpointer.add_recoverable("fp16_scaler", brain.scaler)
        return brain, batch

    brain, batch = start(saved_on)
    for brain.step in (1, 2):
        brain.fit_batch(batch)
    brain.schedule.weight = brain.teacher.scale = 0.25
    brain.hparams.lr_annealing([brain.optimizer], 1, 3.0)
    brain._save_intra_epoch_ckpt()
    kept = SimpleNamespace(
        scale=brain.scaler.get_scale(),
        state=brain.optimizer.state_dict()["state"],
        terms=brain.terms.means(),
        anneal=brain.hparams.lr_annealing.anchor,
    )
    brain, batch = start(loaded_on)
    brain.checkpointer.recover_if_possible()
    assert brain.scaler.get_scale() == kept.scale
    assert brain.teacher.scale == 0.25
    assert brain.hparams.lr_annealing.anchor == kept.anneal
    assert brain.terms.means() == kept.terms
    for i, state in brain.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            assert value.cpu().equal(kept.state[i][key].cpu())
            where = loaded_on if key != "step" else "cpu"
            assert value.device.type == where
    for brain.step in (3, 4):
        assert brain.fit_batch(batch).isfinite()
    assert brain.terms.counts["l_kd"] == 4
    assert {x.device.type for x in brain.terms.sums.values()} == {loaded_on}
