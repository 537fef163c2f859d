"""A Brain that learns in a few steps, and data for it."""

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.seed import seed_everything
from speechbrain.utils.train_logger import FileTrainLogger
from torch import nn

from speechbrain_dfkd import DFKDBrain
from speechbrain_dfkd.losses import KDLoss, si_snr_loss
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.training.checkpointer import AtomicCheckpointer

RATE = 16000


class Filter(nn.Module):
    """A short filter with batch norm: learns in a few steps, has buffers."""

    def __init__(self, seed):
        super().__init__()
        seed_everything(seed, verbose=False)
        self.conv = nn.Conv1d(1, 1, 9, padding=4)
        self.norm = nn.BatchNorm1d(1)

    def forward(self, noisy, features=()):
        return Enhanced(self.norm(self.conv(noisy[:, None]))[:, 0], {})


class WaveformKD(KDLoss):
    """The smallest objective that keeps the contract of KD losses."""

    def forward(self, student, teacher, clean, lengths):
        loss = (student.wav - teacher.wav).square().mean()
        histogram = torch.tensor([1.0, 2.0, 1.0])
        return loss, {"l_low": loss.detach(), "crossover_histogram": histogram}


def speech_like(seed, seconds):
    """Noise that comes in bursts, which PESQ takes for speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    carrier = np.convolve(
        rng.standard_normal(len(time)), np.ones(8) / 8, "same"
    )
    return 0.1 * carrier * (np.sin(2 * np.pi * 3 * time) > 0)


def dataset(seeds, seconds):
    def pair(i):
        clean = speech_like(i, seconds)
        noise = np.random.default_rng(1000 + i).standard_normal(len(clean))
        return clean, clean + 0.02 * noise

    data = {f"u{i}": {"seed": i} for i in seeds}
    items = [
        {
            "func": lambda i, k=k: torch.tensor(pair(i)[k]).float(),
            "takes": ["seed"],
            "provides": name,
        }
        for k, name in enumerate(("clean_sig", "noisy_sig"))
    ]
    return DynamicItemDataset(data, items, ["id", "noisy_sig", "clean_sig"])


TRAIN = dataset(range(8), 0.5)
VALID = dataset(range(100, 102), 1.5)


def make_brain(
    folder,
    teacher=None,
    epochs=2,
    kill_at=None,
    kd_weight=0.5,
    student=None,
    kd_loss=None,
    run_opts=None,
    **schedule,
):
    """Return a Brain as a recipe makes it; it dies at step ``kill_at``."""
    student = student or Filter(seed=1)
    objects = {
        "student": student,
        "lr_annealing": ReduceLROnPlateau(dont_halve_until_epoch=0),
        "epoch_counter": EpochCounter(epochs),
    }
    hparams = {
        **objects,
        "sample_rate": RATE,
        "supervised_loss": si_snr_loss,
        "train_logger": FileTrainLogger(str(folder / "log.txt")),
        "output_folder": str(folder),
        "save_enhanced": False,
        "best_metric": "pesq_wb",
        "kd_weight": kd_weight,
        "kd_ramp": 0.0,
        "kd_stop": 1.0,
        "kd_gradient_ratio": None,
        "kd_gradient_batches": 2,
        "batch_size": 2,
        "align_polarity": True,
        "scale_teacher": True,
        "init_from_teacher": False,
        # Where a run goes on from one only: each is slow beside these steps.
        "ckpt_interval_steps": 1 if kill_at else 0,
        **schedule,
    }

    class Mortal(DFKDBrain):
        steps = 0

        def on_fit_batch_end(self, batch, outputs, loss, should_step):
            super().on_fit_batch_end(batch, outputs, loss, should_step)
            Mortal.steps += 1
            if Mortal.steps == kill_at:
                raise KeyboardInterrupt

    return Mortal(
        {"student": student, "kd_loss": kd_loss or WaveformKD()},
        lambda parameters: torch.optim.Adam(parameters, lr=0.01),
        hparams,
        {"device": "cpu", "noprogressbar": True, **(run_opts or {})},
        AtomicCheckpointer(folder / "save", objects),
        teacher,
    )


def fit(brain):
    # The sampler's order comes from the seed of the run.
    seed_everything(7, verbose=False)
    if isinstance(brain, DFKDBrain):
        brain.measure_kd_weight(TRAIN)
    brain.fit(
        brain.hparams.epoch_counter,
        TRAIN,
        VALID,
        train_loader_kwargs={"batch_size": 2, "shuffle": True},
        valid_loader_kwargs={"batch_size": 1},
    )
    return brain
