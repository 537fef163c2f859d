"""Where each frequency adapter splits the output of a trained teacher.

    python benchmarks/crossovers.py --teacher_ckpt FOLDER --annotation JSON

FOLDER is one of train_teacher.py or the one it exported, JSON a manifest, for
example ``results/VoiceBank/data/valid.json``. For every ``hparams/kd/dfkd*.yaml``:
percentiles of the crossover over all frames whose energy is within 60 dB of the
loudest one of their utterance, the share of these frames with the crossover in
bin 0, whose low band is the constant alone, and the share of all energy in bins
up to the crossover.
"""

import argparse
from pathlib import Path

import torch
from teacher_cache import RATE, load_network

from speechbrain_dfkd.data.dataset import read_wav
from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.losses.crossover import band_masks
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.stft import STFT

OBJECTIVES = Path(__file__).parents[1] / "hparams/kd"
QUIETEST = 1e-6  # of the loudest frame's energy: -60 dB


def load_adapters() -> dict:
    """Return the adapter of every file that has one."""
    adapters = {}
    for path in sorted(OBJECTIVES.glob("dfkd*.yaml")):
        loss = compose(path, [], "", {"name", "loss"}).build()["loss"]
        adapters[path.stem] = loss.adapter
    return adapters


@torch.no_grad()
def frames_of(teacher, entries, stft) -> list:
    """Return the magnitudes [F, T] of each utterance's audible frames."""
    found = []
    for entry in entries:
        noisy = read_wav(entry["noisy_wav"], RATE)
        mag = stft(teacher(noisy[None]).wav)[0].abs()
        energy = mag.square().sum(0)
        found.append(mag[:, energy > QUIETEST * energy.max()])
    return found


def describe(adapter, utterances, stft) -> list:
    """Return a row: percentiles in Hz, then two shares in percent."""
    crossovers, below, total = [], 0.0, 0.0
    for mag in utterances:
        bins = adapter(mag[None])
        low, _ = band_masks(bins, len(mag))
        energy = mag.square()
        below += (energy * low[0]).sum().item()
        total += energy.sum().item()
        crossovers.append(bins[0])
    crossovers = torch.cat(crossovers)
    hertz = crossovers.double() * RATE / stft.n_fft
    shares = torch.tensor([0.1, 0.5, 0.9], dtype=torch.double)
    at_zero = (crossovers == 0).double().mean().item()
    return [
        *hertz.quantile(shares).tolist(),
        100 * at_zero,
        100 * below / total,
    ]


def main():
    """Print a row for each adapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher_ckpt", type=Path, required=True)
    parser.add_argument("--annotation", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)  # dfkd_random
    stft = STFT()
    entries = read_manifest(arguments.annotation).values()
    teacher = load_network(arguments.teacher_ckpt)
    utterances = frames_of(teacher, entries, stft)
    print(
        "| `hparams/kd/` | 10 % | median | 90 % [Hz] | in bin 0 | energy below |"
    )
    print("|---|---|---|---|---|---|")
    for name, adapter in load_adapters().items():
        low, middle, high, at_zero, below = describe(adapter, utterances, stft)
        print(
            f"| `{name}.yaml` | {low:.0f} | {middle:.0f} | {high:.0f} | "
            f"{at_zero:.1f} % | {below:.1f} % |"
        )


if __name__ == "__main__":
    main()
