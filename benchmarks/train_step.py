"""What distillation adds to a training step.

    python benchmarks/train_step.py

One DFKD step (DCCRN-CL teaches the quarter width; forward of both, all losses,
backward) beside the sum of its parts: forward and backward of the student
alone, and forward of the teacher alone. Then the DFKD loss (STFTs, adapter,
bands, backward) and the adapter by themselves. One process, in turn, medians
over rounds of the ratio within a round. Memory: how far the peak resident
memory of a fresh process rises.
"""

import argparse
import functools
import logging
import statistics
from pathlib import Path

import speechbrain as sb
import torch
from measure import in_fresh_process, median_ratio, rise_of_peak, time_in_turn
from speechbrain.dataio.batch import PaddedBatch

from speechbrain_dfkd import (
    DFKDBrain,
    DFKDLoss,
    EnhancementBrain,
    FrequencyAdapter,
    FrozenTeacher,
)
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN, Enhanced
from speechbrain_dfkd.stft import STFT

RATE = 16000
QUARTER = {"channels": (4, 8, 16, 32, 32, 32), "lstm_units": 32}
PARTS = ["dfkd step", "student step", "teacher forward", "dfkd loss", "adapter"]


def make_batch(size, seconds):
    """Return a batch as a Brain gets it."""
    signals = torch.randn(2, size, int(RATE * seconds)) / 10
    pairs = zip(*signals, strict=True)
    return PaddedBatch(
        [
            {"id": str(i), "clean_sig": clean, "noisy_sig": clean + noise}
            for i, (clean, noise) in enumerate(pairs)
        ]
    )


def make_parts(batch):
    """Return what is measured, by name."""
    student, teacher = DCCRN(**QUARTER), FrozenTeacher(DCCRN())
    loss = DFKDLoss(STFT(), FrequencyAdapter())
    constant = {"kd_ramp": 0.0, "kd_stop": 1.0, "kd_gradient_ratio": None}
    hparams = {"supervised_loss": si_snr_loss, "kd_weight": 1.0, **constant}
    options = {"device": "cpu"}
    modules = {"student": student, "kd_loss": loss}
    distilled = DFKDBrain(modules, None, hparams, options, teacher=teacher)
    alone = EnhancementBrain({"model": student}, None, hparams, options)
    for brain in (distilled, alone):
        brain.modules.train()
    noisy, lengths = batch.noisy_sig
    clean = batch.clean_sig.data

    @functools.cache  # not before it is needed: it would lift the peak memory
    def target():
        enhanced = teacher(noisy)
        return enhanced, loss.stft(enhanced.wav).abs()

    def step(brain):
        outputs = brain.compute_forward(batch, sb.Stage.TRAIN)
        brain.compute_objectives(outputs, batch, sb.Stage.TRAIN).backward()
        student.zero_grad()

    def loss_alone():
        wav = noisy.clone().requires_grad_()
        loss(Enhanced(wav, {}), target()[0], clean, lengths)[0].backward()

    return {
        "dfkd step": lambda: step(distilled),
        "student step": lambda: step(alone),
        "teacher forward": lambda: teacher(noisy),
        "dfkd loss": loss_alone,
        "adapter": lambda: loss.adapter(target()[1]),
    }


def report_times(parts, arguments):
    """Print the times, and their ratios."""
    times = time_in_turn(parts, arguments.rounds)
    for name in PARTS:
        print(f"{name:16} {1000 * statistics.median(times[name]):9.2f} ms")
    step = times["dfkd step"]
    alone = zip(times["student step"], times["teacher forward"], strict=True)
    ratio = median_ratio(step, [sum(pair) for pair in alone])
    print(f"dfkd step / (student step + teacher forward): {ratio:.3f}")
    share = median_ratio(times["dfkd loss"], step)
    print(f"dfkd loss, share of the dfkd step: {100 * share:.2f} %")
    share = median_ratio(times["adapter"], step)
    print(f"adapter, share of the dfkd step: {100 * share:.2f} %")
    audio = arguments.batch * arguments.seconds
    share = statistics.median(times["adapter"]) / audio
    print(f"adapter, share of real time: {100 * share:.4f} %")


def report_memory(arguments):
    """Print the peaks, and their ratio."""
    peaks = {}
    for name in PARTS[:3]:
        options = ("batch", "seconds", "threads")
        pairs = [[f"--{o}", str(getattr(arguments, o))] for o in options]
        flat = [word for pair in pairs for word in pair]
        peaks[name] = in_fresh_process(
            Path(__file__), "--memory_of", name, *flat
        )
        print(f"{name:16} {peaks[name]:9.0f} MB")
    whole, *parts = peaks.values()
    print(f"memory, dfkd step / (sum of the two): {whole / sum(parts):.3f}")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    logging.disable(logging.WARNING)
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    parts = make_parts(make_batch(arguments.batch, arguments.seconds))
    if arguments.memory_of:
        print(rise_of_peak(parts[arguments.memory_of]))
        return
    print(
        f"torch {torch.__version__}, {arguments.threads} thread(s), "
        f"{arguments.batch} x {arguments.seconds} s"
    )
    report_times(parts, arguments)
    report_memory(arguments)


if __name__ == "__main__":
    main()
