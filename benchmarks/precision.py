"""bfloat16 autocast and torch.compile beside plain float32.

    python benchmarks/precision.py

For each network: time of the float32 version over that of the variant (above
1: the variant is faster), the median of the ratios within the rounds, and how
far the variant's output is from that of float32, relative to it.
"""

import argparse
import functools
import statistics

import torch
from measure import median_ratio, time_in_turn
from models import run_forward, run_step
from sizes import load_network

NETWORKS = (
    "dccrn_cl",
    "dccrn_quarter",
    "conv_tasnet",
    "conv_tasnet_small",
    "dptnet",
    "dptnet_small",
)


def in_bfloat16(model):
    """Return the model as run by SpeechBrain's ``--precision bf16``."""

    def enhance(noisy):
        with torch.autocast("cpu", torch.bfloat16):
            return model(noisy).wav

    return enhance


def compiled(model):
    """Return the model as run by SpeechBrain's ``--compile``."""
    fast = torch.compile(model)
    return lambda noisy: fast(noisy).wav


VARIANTS = {
    "float32": lambda model: lambda noisy: model(noisy).wav,
    "bfloat16": in_bfloat16,
    "compile": compiled,
}


def compare(name, noisy, rounds):
    """Print a row for each variant of a network."""
    model = load_network(name).eval()
    runs = {label: make(model) for label, make in VARIANTS.items()}
    with torch.no_grad():
        outputs = {label: run(noisy) for label, run in runs.items()}
    reference = outputs["float32"]
    times = {}
    for work in (run_forward, run_step):
        calls = {
            label: functools.partial(work, model, run, noisy)
            for label, run in runs.items()
        }
        times[work] = time_in_turn(calls, rounds)
    for label, output in outputs.items():
        error = (output - reference).norm()
        ratios = [
            median_ratio(of["float32"], of[label]) for of in times.values()
        ]
        seconds = statistics.median(times[run_step][label])
        print(
            f"{name:17} {label:8} {ratios[0]:8.2f} {ratios[1]:17.2f} "
            f"{seconds:12.3f} s {(error / reference.norm()).item():9.1e}",
            flush=True,
        )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=NETWORKS
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    noisy = 0.1 * torch.randn(arguments.batch, int(16000 * arguments.seconds))
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    print("network           variant   forward  forward+backward  step  error")
    for name in arguments.networks:
        compare(name, noisy, arguments.rounds)


if __name__ == "__main__":
    main()
