"""What waits for what: validation, the start of an epoch.

    python benchmarks/waiting.py

Validation of recordings of one length: enhanced one at a time or in batches,
and scored after that or meanwhile (what is slower on a CPU). Start of an
epoch: until the first batch is there, of workers that are started for it, and
of those that persist. In one process, in turn, medians over rounds; ratios
within a round.
"""

import argparse
import logging
import statistics
import time
from types import SimpleNamespace

import numpy as np
import torch
from measure import median_ratio, time_in_turn
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset

from speechbrain_dfkd import EnhancementBrain
from speechbrain_dfkd.data.dataset import (
    SharedEpochCounter,
    loader_options,
    whole_options,
)
from speechbrain_dfkd.evaluation.metrics import METRICS
from speechbrain_dfkd.evaluation.scoring import Scoring
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN

RATE = 16000
QUARTER = {"channels": (4, 8, 16, 32, 32, 32), "lstm_units": 32}


def bursts(seed: int, seconds: float) -> torch.Tensor:
    """Return noise in bursts, which metrics take for speech, [L]."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.convolve(draw.standard_normal(len(time)), np.ones(8) / 8, "same")
    return torch.from_numpy(
        0.1 * noise * (np.sin(6 * np.pi * time) > 0)
    ).float()


def recordings(count: int, seconds: float) -> DynamicItemDataset:
    """Return pairs of one length, in memory."""
    items = {}
    for index in range(count):
        clean = bursts(index, seconds)
        noisy = clean + 0.01 * torch.randn(len(clean))
        items[f"{index:03}"] = {"length": seconds, "pair": (noisy, clean)}
    signals = [
        {
            "func": lambda pair, i=i: pair[i],
            "takes": ["pair"],
            "provides": f"{side}_sig",
        }
        for i, side in enumerate(("noisy", "clean"))
    ]
    keys = ["id", "noisy_sig", "clean_sig"]
    return DynamicItemDataset(items, signals, keys)


class BesideBrain(EnhancementBrain):
    """Scores while it enhances, on any device."""

    def on_stage_start(self, stage, epoch=None):
        """Begin with none."""
        super().on_stage_start(stage, epoch)
        self._scoring = Scoring(RATE, METRICS, beside=True)


class AfterBrain(EnhancementBrain):
    """Enhances all recordings, then scores them."""

    def on_stage_start(self, stage, epoch=None):
        """Begin with none."""
        super().on_stage_start(stage, epoch)
        self._scoring = Scoring(RATE, METRICS)


def validations(arguments) -> dict:
    """Return what is timed of validations, by name."""
    data = recordings(arguments.recordings, arguments.seconds)
    network = DCCRN(**QUARTER)
    hparams = {
        "sample_rate": RATE,
        "supervised_loss": si_snr_loss,
        "save_enhanced": False,
        "train_logger": None,
        "epoch_counter": SimpleNamespace(current=1),
    }
    device = {"device": arguments.device, "noprogressbar": True}

    def work(kind, batch):
        loading = arguments.loading | {"eval_batch_size": batch}
        brain = kind({"model": network}, None, hparams, device)

        def validate():
            options = whole_options(loading, arguments.device, data)
            brain.evaluate(data, test_loader_kwargs=options)

        return validate

    ways = {"then scored": AfterBrain, "scored meanwhile": BesideBrain}
    return {
        f"{batch} at a time, {way}": work(brain, batch)
        for way, brain in ways.items()
        for batch in (1, arguments.batch)
    }


def first_batches(arguments, persistent: bool) -> list:
    """Return the seconds until the first batch of each epoch but the first."""
    data = recordings(arguments.recordings, arguments.seconds)
    loading = arguments.loading | {"persistent_workers": persistent}
    options = loader_options(loading, arguments.device)
    loader = SaveableDataLoader(
        data, arguments.batch, collate_fn=PaddedBatch, **options
    )
    seconds = []
    for _ in SharedEpochCounter(arguments.rounds + 1):
        start = time.perf_counter()
        for index, _ in enumerate(loader):
            if index == 0:
                seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    arguments.loading = {
        "num_workers": arguments.num_workers,
        "prefetch_factor": 2,
        "persistent_workers": False,
        "pin_memory": True,
    }
    logging.disable(logging.WARNING)
    print(
        f"{arguments.recordings} recordings of {arguments.seconds:g} s, device "
        f"{arguments.device}, {torch.get_num_threads()} threads"
    )
    times = time_in_turn(validations(arguments), arguments.rounds)
    first = next(iter(times.values()))
    for name, seconds in times.items():
        ratio = median_ratio(seconds, first)
        median = statistics.median(seconds)
        print(f"validation, {name:32} {median:8.2f} s   {ratio:.2f}")
    for persistent in (False, True):
        seconds = statistics.median(first_batches(arguments, persistent))
        workers = "workers persist" if persistent else "workers are started"
        print(f"epoch's first batch, {workers:23} {1000 * seconds:8.0f} ms")


if __name__ == "__main__":
    main()
