"""Every objective and supervised loss, with signals, on any device."""

import copy
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.losses import si_snr_loss, si_snr_spectrum_loss, snr_loss
from speechbrain_dfkd.models.base import Enhanced

# Under "cuda" a test runs where there is a GPU.
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALVES = [torch.bfloat16, torch.float16]

OBJECTIVES = {}
for _path in sorted((Path(__file__).parents[2] / "hparams/kd").glob("*.yaml")):
    with _path.open() as _stream:  # whose name tells where includes are
        OBJECTIVES[_path.stem] = load_hyperpyyaml(_stream)["loss"]
del OBJECTIVES["none"]
SUPERVISED = {
    loss.__name__: loss
    for loss in (si_snr_loss, snr_loss, si_snr_spectrum_loss)
}


def speech_like(batch, samples, peak=1.0):
    """Return clean and noisy signals in bursts, of this peak."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(2, batch, samples, generator=draw)
    slow = torch.nn.functional.avg_pool1d(noise[:1], 9, 1, 4)[0]
    bursts = 1.05 + (torch.arange(samples) / 640).sin()
    clean = slow * bursts
    noisy = clean + 0.2 * noise[1]
    scale = peak / noisy.abs().max()
    return clean * scale, noisy * scale


def autocast(device, dtype):
    """Return what autocasts to a type, or does nothing with None."""
    return torch.autocast(device, dtype, enabled=dtype is not None)


def outcome(name, device="cpu", dtype=None, scale=1.0, samples=8000, peak=1.0):
    """Return a loss by its name and, unscaled again, its gradient."""
    clean, noisy = speech_like(2, samples, peak)
    student = (0.8 * clean + 0.3 * (noisy - clean)).to(device).requires_grad_()
    teacher = (0.9 * clean + 0.1 * (noisy - clean)).to(device)
    clean, lengths = clean.to(device), torch.tensor([1.0, 0.8], device=device)
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(2, 2, 3, 5, 81, generator=draw).to(device)
    own = features[0].requires_grad_()
    with autocast(device, dtype):
        if name in SUPERVISED:
            value = SUPERVISED[name](student, clean, lengths)
        else:
            loss = copy.deepcopy(OBJECTIVES[name]).to(device)
            value, _ = loss(
                Enhanced(student, dict.fromkeys(loss.student_features, own)),
                Enhanced(
                    teacher, dict.fromkeys(loss.teacher_features, features[1])
                ),
                clean,
                lengths,
            )
    (scale * value).backward()
    gradient = own.grad if student.grad is None else student.grad
    return value.detach().cpu(), gradient.cpu() / scale


def relative(value, reference):
    """Return how far a tensor is from another, relative to that one."""
    return float((value - reference).norm() / reference.norm())
