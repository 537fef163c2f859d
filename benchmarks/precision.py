"""bfloat16 autocast, torch.compile and TF32 beside plain float32.

    python benchmarks/precision.py
    python benchmarks/precision.py --recordings FOLDER --teacher_ckpt FOLDER

The first, for each network: time of the float32 version over that of the
variant (above 1: the variant is faster), the median of the ratios within the
rounds, and how far the variant's output is from that of float32, relative to
it.

The second emulates TF32 on a CPU, by rounding all factors of products to 10
bits: how far the outputs for WAV files are from those in float32, beside what
a cache in float16 rounds, and in which share of the frames DFKD's crossover
moves. Without a trained teacher, the networks are those of ``--networks``.
"""

import argparse
import functools
import re
import statistics
from pathlib import Path

import torch
from crossovers import QUIETEST
from measure import median_ratio, time_in_turn
from models import run_forward, run_step
from sizes import load_network
from teacher_cache import RATE, load_network as load_trained
from torch.utils._python_dispatch import TorchDispatchMode

from speechbrain_dfkd.data.dataset import read_wav
from speechbrain_dfkd.losses.crossover import FrequencyAdapter
from speechbrain_dfkd.stft import STFT

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


# What TF32 multiplies on a GPU: products of matrices, convolutions, LSTMs.
PRODUCTS = re.compile("convolution|.*mm|mkldnn_rnn_layer|_scaled_dot_product.*")


class TF32(TorchDispatchMode):
    """Rounds what float32 products multiply as TF32 does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if PRODUCTS.fullmatch(name):
            args = [self.rounded(x) for x in args]
        return func(*args, **(kwargs or {}))

    @staticmethod
    def rounded(x):
        """Return a tensor of 10 bits behind the point, the rest zero."""
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            return x
        bits = x.contiguous().view(torch.int32)
        odd = (bits >> 13) & 1
        return ((bits + 0xFFF + odd) & ~0x1FFF).view(torch.float32)


def cached(wav):
    """Return what is read of a waveform that was kept in float16."""
    scale = wav.abs().max() / 2**15
    return (wav / scale).half().float() * scale


@torch.no_grad()
def compare_rounding(name, model, recordings):
    """Print how TF32 and float16 change outputs and crossovers."""
    stft, adapter = STFT(), FrequencyAdapter()
    errors, moved, frames = [[], []], [0, 0], 0
    for noisy in recordings:
        wav = model(noisy[None]).wav
        with TF32():
            others = [model(noisy[None]).wav]
        others.append(cached(wav))
        mag = stft(wav).abs()
        energy = mag.square().sum(1)
        audible = energy > QUIETEST * energy.max()
        frames += int(audible.sum())
        places = adapter(mag)
        for i, other in enumerate(others):
            errors[i].append(float((other - wav).norm() / wav.norm()))
            changed = adapter(stft(other).abs()) != places
            moved[i] += int((changed & audible).sum())
    for i, label in enumerate(("TF32", "float16 cache")):
        error = statistics.median(errors[i])
        print(
            f"{name:17} {label:13} {error:9.1e} {100 * moved[i] / frames:8.2f} %",
            flush=True,
        )


def report_rounding(arguments):
    """Print a table of networks, or of one that was trained."""
    paths = sorted(arguments.recordings.glob("*.wav"))[: arguments.files]
    recordings = [read_wav(path, RATE) for path in paths]
    print(f"torch {torch.__version__}, {len(paths)} recordings")
    print("network           rounding          error  crossovers moved")
    if arguments.teacher_ckpt is not None:
        model = load_trained(arguments.teacher_ckpt)
        compare_rounding("trained", model, recordings)
        return
    for name in arguments.networks:
        compare_rounding(name, load_network(name).eval(), recordings)


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
    parser.add_argument("--recordings", type=Path, help="a folder of WAVs")
    parser.add_argument("--files", type=int, default=20, help="of these")
    parser.add_argument("--teacher_ckpt", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.recordings is not None:
        report_rounding(arguments)
        return
    noisy = 0.1 * torch.randn(arguments.batch, int(16000 * arguments.seconds))
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    print("network           variant   forward  forward+backward  step  error")
    for name in arguments.networks:
        compare(name, noisy, arguments.rounds)


if __name__ == "__main__":
    main()
