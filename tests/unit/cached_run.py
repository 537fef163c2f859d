"""A run that caches its teacher's outputs, up to its training."""

import numpy as np
import soundfile
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from speechbrain_dfkd.data.dataset import crop_recordings
from speechbrain_dfkd.data.manifest import write_json
from speechbrain_dfkd.losses import WaveformResponse
from speechbrain_dfkd.models import Enhanced
from speechbrain_dfkd.teacher.cache import choose_teacher

RATE, SEGMENT = 1000, 0.4
LOADING = {
    "num_workers": 0,
    "prefetch_factor": 2,
    "persistent_workers": False,
    "pin_memory": True,
    "eval_batch_size": 2,
}
FRAMES = {"a_1": 1000, "a_2": 1001, "b_1": 400, "b_2": 100}


class Delay(nn.Module):
    """Adds an echo: what it makes of a crop is not a crop of its output."""

    def __init__(self, gain=0.5):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.calls = 0

    def forward(self, noisy, features=()):
        self.calls += 1
        assert not self.training
        echo = nn.functional.pad(noisy, (50, 0))[:, : noisy.shape[1]]
        return Enhanced(noisy + self.gain * echo, {})


def write_recordings(folder, lengths=FRAMES):
    """Write pairs and their manifest; return its path."""
    draw, entries = np.random.default_rng(0), {}
    for name, frames in lengths.items():
        entries[name] = {"length": frames / RATE}
        for side in ("noisy", "clean"):
            path = folder / f"{side}_{name}.wav"
            wav = 0.1 * draw.normal(size=frames)
            soundfile.write(path, wav, RATE, subtype="FLOAT")
            entries[name][f"{side}_wav"] = str(path)
    path = folder / "train.json"
    write_json(path, entries)
    return path


class Run:
    """What a recipe has when its teacher is trained."""

    def __init__(self, folder, manifest, segment=SEGMENT, epoch=0, **changes):
        self.model = changes.pop("model", Delay())
        counter = EpochCounter(limit=9)
        counter.current = epoch
        self.train_set = crop_recordings(manifest, segment, RATE, 1, counter)
        self.hparams = {
            "teacher_cache": True,
            "teacher_cache_folder": str(folder / "cache"),
            "kd_weight": 1.0,
            "sample_rate": RATE,
            **LOADING,
            "clean_as_teacher": False,
            "kd": {"loss": WaveformResponse()},
            **changes,
        }
        self.settings = {
            "teacher": {"name": "delay", "taps": 2},
            "sample_rate": RATE,
        }
        self.options = {"device": "cpu", "noprogressbar": True}

    def prepare(self, **options):
        options = RunOptions(**self.options, **options)
        return choose_teacher(
            self.model, self.hparams, self.settings, self.train_set, options
        )


def files(folder):
    return {
        path: (path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*.f16")
    }
