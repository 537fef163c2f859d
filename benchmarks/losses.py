"""Time and peak memory of every KD objective.

    python benchmarks/losses.py

Each objective in hparams/kd, forward and backward, beside a plain
implementation of the same equations that loops over items, frames and
patches, and as a share of the training step of a quarter-width DCCRN alone
(forward, supervised loss, backward; with its teacher a step takes longer).
One process, in turn, medians over rounds of the ratio within a round. Memory:
how far the peak resident memory of a fresh process rises.

The features of objectives that need them come from the two networks, before
the clock runs; their backward ends at the features.
"""

import argparse
import functools
import logging
import statistics
from pathlib import Path

import loop_losses
import torch
from hyperpyyaml import load_hyperpyyaml
from measure import in_fresh_process, median_ratio, rise_of_peak, time_in_turn

from speechbrain_dfkd import FrozenTeacher
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN, Enhanced

RATE = 16000
KD = Path(__file__).parents[1] / "hparams/kd"
QUARTER = {"channels": (4, 8, 16, 32, 32, 32), "lstm_units": 32}


def load_losses():
    """Return every objective in hparams/kd that computes something."""
    losses = {}
    for path in sorted(KD.glob("*.yaml")):
        with open(path, encoding="utf-8") as file:
            loss = load_hyperpyyaml(file)["loss"]
        if loss is not None:
            losses[path.stem] = loss
    return losses


class Case:
    """A batch, and what two networks make of it.

    Arguments
    ---------
    size : int
        Utterances in the batch.
    seconds : float
        Their length.
    """

    def __init__(self, size, seconds):
        torch.manual_seed(0)
        self.clean = torch.randn(size, int(RATE * seconds)) / 10
        self.noisy = self.clean + torch.randn_like(self.clean) / 10
        self.lengths = torch.linspace(0.6, 1.0, size)

    @functools.cached_property
    def networks(self):
        """Student and teacher; a loss alone is measured without them."""
        return DCCRN(**QUARTER), FrozenTeacher(DCCRN())

    def outputs(self, loss):
        """Return outputs for a loss; the student's are leaves."""
        if not loss.student_features:
            wav = self.noisy.clone().requires_grad_()
            return Enhanced(wav, {}), Enhanced(0.9 * self.clean, {})
        student, teacher = self.networks
        with torch.no_grad():
            ours = student(self.noisy, loss.student_features)
            theirs = teacher(self.noisy, loss.teacher_features)
        features = {k: v.requires_grad_() for k, v in ours.features.items()}
        return Enhanced(ours.wav, features), theirs

    def work(self, loss, compute):
        """Return forward and backward of a loss as a call."""
        student, teacher = self.outputs(loss)
        return lambda: compute(student, teacher, self.clean, self.lengths)[
            0
        ].backward()

    def step(self):
        """Run a training step of the student alone."""
        student, _ = self.networks
        wav = student(self.noisy).wav
        si_snr_loss(wav, self.clean, self.lengths).backward()
        student.zero_grad()


def check_equal(case, loss, name):
    """Refuse to time a loop that computes something else."""
    outputs = case.outputs(loss)
    ours = loss(*outputs, case.clean, case.lengths)[0]
    plain = loop_losses.of(loss)(*outputs, case.clean, case.lengths)[0]
    if not torch.isclose(ours, plain, rtol=1e-3):
        raise ValueError(
            f"the loop's value must be that of {name}, {ours.item()}, got "
            f"{plain.item()}; correct benchmarks/loop_losses.py"
        )


def report(case, losses, arguments):
    """Print a line for each objective."""
    print(
        f"{'objective':18} {'time':>9} {'of step':>8} "
        f"{'memory':>8} {'loop / ours: time':>18} {'memory':>8}"
    )
    for name, loss in losses.items():
        check_equal(case, loss, name)
        works = {
            "ours": case.work(loss, loss),
            "step": case.step,
            "loop": case.work(loss, loop_losses.of(loss)),
        }
        times = time_in_turn(works, arguments.rounds)
        ours = times["ours"]
        peaks = [
            memory_of(name, which, arguments) for which in ("ours", "loop")
        ]
        print(
            f"{name:18} {1000 * statistics.median(ours):6.1f} ms "
            f"{100 * median_ratio(ours, times['step']):6.1f} % "
            f"{peaks[0]:5.0f} MB {median_ratio(times['loop'], ours):18.1f} "
            f"{peaks[1] / max(peaks[0], 1):8.1f}",
            flush=True,
        )


def memory_of(name, which, arguments):
    """Return the rise of the peak, from a fresh process."""
    command = ["--memory_of", name, which]
    for key in ("threads", "batch", "seconds"):
        command += [f"--{key}", str(getattr(arguments, key))]
    return in_fresh_process(Path(__file__), *command)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--objectives", nargs="+", help="files in hparams/kd")
    parser.add_argument("--memory_of", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    logging.disable(logging.WARNING)
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    case = Case(arguments.batch, arguments.seconds)
    losses = load_losses()
    if arguments.memory_of:
        name, which = arguments.memory_of
        loss = losses[name]
        compute = loss if which == "ours" else loop_losses.of(loss)
        print(rise_of_peak(case.work(loss, compute)))
        return
    if arguments.objectives:
        losses = {name: losses[name] for name in arguments.objectives}
    print(
        f"torch {torch.__version__}, {arguments.threads} thread(s), "
        f"{arguments.batch} x {arguments.seconds} s"
    )
    report(case, losses, arguments)


if __name__ == "__main__":
    main()
