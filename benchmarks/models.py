"""Time and peak memory of DCCRN, beside Asteroid's of the same size.

    python benchmarks/models.py

Time: wall clock in this process, the two implementations in turn (A B A B),
median over the rounds; the ratio is the median of each round's own ratio, so
that a busy machine disturbs it less. Memory: how far the peak resident memory
of a fresh process rises above what it holds once the model is built.
"""

import argparse
import functools
import importlib.util
import statistics
import sys
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from measure import in_fresh_process, median_ratio, rise_of_peak, time_in_turn

from speechbrain_dfkd.evaluation.complexity import count_parameters
from speechbrain_dfkd.models import DCCRN

SIZES = Path(__file__).parents[1] / "hparams/models"
INSTALL = (
    "asteroid must be installed for the comparison, got none; run "
    "pip install --no-deps asteroid asteroid-filterbanks "
    "&& pip install requests soundfile, or leave it out with --ours_only"
)


def build_ours():
    """Return DCCRN-CL as a function of [B, L] waveforms."""
    model = DCCRN()
    return model, lambda noisy: model(noisy).wav


def build_asteroid():
    """Return Asteroid's DCCRN-CL as a function of [B, L] waveforms."""
    from asteroid.masknn import recurrent
    from asteroid.models import DCCRNet

    class WithPythonInteger(recurrent.DCCRMaskNetRNN):
        # It is given a numpy integer, which today's nn.LSTM refuses.
        def __init__(self, in_size):
            super().__init__(int(in_size))

    recurrent.DCCRMaskNetRNN = WithPythonInteger
    model = DCCRNet("DCCRN-CL")
    return model, lambda noisy: model(noisy)[:, 0]


BUILDERS = {"ours": build_ours, "asteroid": build_asteroid}


def run_forward(model, enhance, noisy):
    """Enhance without gradients."""
    with torch.no_grad():
        enhance(noisy)


def run_step(model, enhance, noisy):
    """Enhance and compute the gradients of all parameters."""
    enhance(noisy).square().mean().backward()
    model.zero_grad()


WORK = {"forward": run_forward, "forward+backward": run_step}


def calls_of(systems, work, noisy):
    """Return the work of each system as a call without arguments."""
    return {
        name: functools.partial(work, *system, noisy)
        for name, system in systems.items()
    }


def memory_of(name, work, arguments):
    """Return the rise of the peak, from a fresh process."""
    command = ["--memory_of", name, work]
    for key in ("threads", "batch", "seconds"):
        command += [f"--{key}", str(getattr(arguments, key))]
    return in_fresh_process(Path(__file__), *command)


def compare(names, noisy, arguments):
    """Print time and memory of the systems, and their ratio."""
    systems = {name: BUILDERS[name]() for name in names}
    for label, work in WORK.items():
        calls = calls_of(systems, work, noisy)
        times = time_in_turn(calls, arguments.rounds)
        peaks = {name: memory_of(name, label, arguments) for name in names}
        for name in names:
            median = statistics.median(times[name])
            print(f"{label:17} {name:9} {median:7.3f} s {peaks[name]:7.0f} MB")
        if "asteroid" in names:
            faster = median_ratio(times["asteroid"], times["ours"])
            leaner = peaks["asteroid"] / peaks["ours"]
            print(f"{label:17} asteroid / ours: {faster:.2f} {leaner:.2f}")


def load_sizes():
    """Return every size of DCCRN in hparams/models, largest first."""
    models = {}
    for path in SIZES.glob("dccrn_*.yaml"):
        with open(path, encoding="utf-8") as file:
            models[path.stem] = load_hyperpyyaml(file)["model"]
    return dict(
        sorted(models.items(), key=lambda item: -count_parameters(item[1]))
    )


def tabulate_sizes(noisy, rounds):
    """Print parameters and times of every size."""
    models = load_sizes()
    systems = {
        name: (model, lambda x, model=model: model(x).wav)
        for name, model in models.items()
    }
    medians = {
        label: {
            name: statistics.median(times)
            for name, times in time_in_turn(
                calls_of(systems, work, noisy), rounds
            ).items()
        }
        for label, work in WORK.items()
    }
    print(f"{'size':14} {'parameters':>10}", *(f"{w:>18}" for w in WORK))
    for name, model in models.items():
        columns = (f"{medians[label][name]:16.3f} s" for label in WORK)
        print(f"{name:14} {count_parameters(model):10}", *columns)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument(
        "--ours_only", action="store_true", help="without Asteroid"
    )
    parser.add_argument("--memory_of", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    noisy = torch.randn(arguments.batch, int(16000 * arguments.seconds))
    if arguments.memory_of:
        name, work = arguments.memory_of
        system = BUILDERS[name]()
        print(rise_of_peak(lambda: WORK[work](*system, noisy)))
        return
    names = ["ours"] if arguments.ours_only else list(BUILDERS)
    if "asteroid" in names and not importlib.util.find_spec("asteroid"):
        sys.exit(INSTALL)
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, "
        f"{arguments.batch} x {arguments.seconds} s"
    )
    compare(names, noisy, arguments)
    tabulate_sizes(noisy, arguments.rounds)


if __name__ == "__main__":
    main()
