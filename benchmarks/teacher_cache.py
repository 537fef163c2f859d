"""What a cache of the teacher's outputs changes, and what it saves.

    python benchmarks/teacher_cache.py
    python benchmarks/teacher_cache.py --teacher_ckpt FOLDER --annotation JSON

The first measures time: a training step of the quarter width taught by
DCCRN-CL, its targets read from files (reading included), beside the step
without distillation and the one that runs the teacher; in turn, medians over
rounds of the ratio within a round. From these and the teacher's time for a
whole utterance follows the ratio for a whole training; validation and loading
of the recordings, alike in all, are left out.

The second measures targets: crops of what trained teachers (folders of
train_teacher.py) make of whole utterances, beside what they make of the crop.
"""

import argparse
import logging
import statistics
import tempfile
from pathlib import Path

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from measure import median_ratio, time_in_turn
from speechbrain.dataio.batch import PaddedBatch
from train_step import QUARTER, RATE

from speechbrain_dfkd import (
    DFKDBrain,
    DFKDLoss,
    EnhancementBrain,
    FrequencyAdapter,
    FrozenTeacher,
)
from speechbrain_dfkd.data.dataset import read_wav
from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.stft import STFT
from speechbrain_dfkd.teacher.cache import TeacherCache
from speechbrain_dfkd.teacher.frozen import CachedTeacher
from speechbrain_dfkd.teacher.loading import (
    find_teacher_checkpoint,
    load_strictly,
    read_network,
)
from speechbrain_dfkd.teacher.trained_network import SETTINGS

EPOCHS = (1, 3, 10, 30, 100)
# Distances from the nearest edge of the crop, in seconds.
EDGES = (0.0, 0.01, 0.03, 0.1, 0.3, float("inf"))


class Steps:
    """Training steps of one student on the same crops.

    Arguments
    ---------
    arguments : argparse.Namespace
        Sizes.
    folder : str
        Receives the teacher's outputs.
    """

    def __init__(self, arguments, folder):
        self.frames = int(RATE * arguments.seconds)
        self.whole = torch.randn(1, int(RATE * arguments.utterance_seconds))
        self.signals = torch.randn(arguments.batch, 2, self.frames) / 10
        self.student, self.teacher = DCCRN(**QUARTER), FrozenTeacher(DCCRN())
        self.cache = TeacherCache(Path(folder))
        for i in range(arguments.batch):
            longer = self.teacher(torch.randn(1, self.frames + RATE)).wav[0]
            self.cache.write(str(i), longer)
        constant = {"kd_ramp": 0.0, "kd_stop": 1.0, "kd_gradient_ratio": None}
        hparams = {"supervised_loss": si_snr_loss, "kd_weight": 1.0, **constant}
        options = {"device": "cpu"}
        modules = {
            "student": self.student,
            "kd_loss": DFKDLoss(STFT(), FrequencyAdapter()),
        }
        alone = {"model": self.student}
        self.alone = EnhancementBrain(alone, None, hparams, options)
        self.cached, self.uncached = (
            DFKDBrain(modules, None, hparams, options, teacher=teacher)
            for teacher in (CachedTeacher(self.teacher.model), self.teacher)
        )
        self.student.train()

    def batch(self, with_teacher=False):
        """Return the crops as a data set gives them."""
        items = []
        for i, (clean, noise) in enumerate(self.signals):
            item = {"id": str(i), "clean_sig": clean}
            item["noisy_sig"] = clean + noise
            if with_teacher:
                item["teacher_sig"] = self.cache.read(str(i), 99, self.frames)
            items.append(item)
        return PaddedBatch(items)

    def step(self, brain, with_teacher=False):
        """Run forward, losses and backward."""
        batch = self.batch(with_teacher)
        outputs = brain.compute_forward(batch, sb.Stage.TRAIN)
        brain.compute_objectives(outputs, batch, sb.Stage.TRAIN).backward()
        self.student.zero_grad()

    def works(self):
        """Return what is timed, by name."""
        return {
            "alone": lambda: self.step(self.alone),
            "cached": lambda: self.step(self.cached, with_teacher=True),
            "uncached": lambda: self.step(self.uncached),
            "whole utterance": lambda: self.teacher(self.whole),
        }


def report_times(arguments):
    """Print the times, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        works = Steps(arguments, folder).works()
        times = time_in_turn(works, arguments.rounds)
    for name, values in times.items():
        print(f"{name:16} {1000 * statistics.median(values):9.2f} ms")
    cached, uncached, making = (
        median_ratio(times[name], times["alone"])
        for name in ("cached", "uncached", "whole utterance")
    )
    print(f"cached step / step without distillation: {cached:.3f}")
    print(f"uncached step / step without distillation: {uncached:.3f}")
    # A step trains on one crop of each of so many utterances.
    making *= arguments.batch
    print(f"whole training, E epochs: {cached:.3f} + {making:.2f} / E")
    for epochs in EPOCHS:
        ratio = cached + making / epochs
        print(
            f"  {epochs:4} epochs: cached {ratio:.2f}, uncached {uncached:.2f}"
        )


def load_network(folder):
    """Return a trained network from the folder that it was exported to."""
    weights = find_teacher_checkpoint(folder)
    with open(weights.with_name(SETTINGS), encoding="utf-8") as stream:
        model = load_hyperpyyaml(stream)["network"]["model"]
    load_strictly(model, read_network(weights))
    return FrozenTeacher(model)


def crops(teacher, entries, seconds):
    """Yield clean crop, crop of the whole output, and output of the crop."""
    frames, draw = round(RATE * seconds), torch.Generator().manual_seed(0)
    for entry in entries:
        noisy, clean = (
            read_wav(entry[side], RATE) for side in ("noisy_wav", "clean_wav")
        )
        last = len(noisy) - frames
        if last > 0:
            start = int(torch.randint(last + 1, (1,), generator=draw))
            cut = slice(start, start + frames)
            whole = teacher(noisy[None]).wav[0]
            yield clean[cut], whole[cut], teacher(noisy[None, cut]).wav[0]


def si_sdr(estimate, reference):
    """Return the ratio in dB, means removed."""
    pair = estimate[None], reference[None]
    return -si_snr_loss(*pair, torch.ones(1)).item()


def report_targets(folder, entries, seconds):
    """Print how the two targets of a crop differ."""
    between, to_clean, powers = [], [], 0
    for clean, cached, made in crops(load_network(folder), entries, seconds):
        between.append(si_sdr(cached, made))
        to_clean.append((si_sdr(cached, clean), si_sdr(made, clean)))
        powers = powers + torch.stack(((cached - made).square(), made.square()))
    if not between:
        raise SystemExit("--seconds must be below the length of the utterances")
    print(f"{folder}: {len(between)} crops of {seconds} s")
    lowest = sorted(between)[len(between) // 20]
    print(
        f"  SI-SDR of the crop of the output to the output of the crop: "
        f"median {statistics.median(between):.1f} dB, 5 % below {lowest:.1f} dB"
    )
    cached, made = map(statistics.mean, zip(*to_clean, strict=True))
    print(f"  SI-SDR to clean, means: {cached:.2f} dB and {made:.2f} dB")
    position = torch.arange(powers.shape[1]) / RATE
    distance = torch.minimum(position, position.flip(0))
    for nearest, farthest in zip(EDGES, EDGES[1:], strict=False):
        inside = (distance >= nearest) & (distance < farthest)
        if inside.any():
            error, power = powers[:, inside].sum(1)
            share = 100 * (error / power).sqrt().item()
            print(
                f"  {nearest:g} to {farthest:g} s from the nearest edge: "
                f"relative error {share:.2f} %"
            )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--utterance_seconds", type=float, default=2.9)
    parser.add_argument("--teacher_ckpt", nargs="+", type=Path, default=[])
    parser.add_argument("--annotation", type=Path, help="a manifest")
    parser.add_argument("--utterances", type=int, default=40)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    logging.disable(logging.WARNING)
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if not arguments.teacher_ckpt:
        print(
            f"torch {torch.__version__}, {arguments.threads} thread(s), "
            f"{arguments.batch} x {arguments.seconds} s, whole utterances of "
            f"{arguments.utterance_seconds} s"
        )
        report_times(arguments)
        return
    entries = list(read_manifest(arguments.annotation).values())
    for folder in arguments.teacher_ckpt:
        chosen = entries[:: -(-len(entries) // arguments.utterances)]
        report_targets(folder, chosen, arguments.seconds)


if __name__ == "__main__":
    main()
