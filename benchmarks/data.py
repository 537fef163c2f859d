"""How fast mixtures are made, and what half a million recordings cost.

    python benchmarks/data.py [--data_folder DIR] [--only_kinds]

1. One mixture of 4 s at 16 kHz without reverberation, files in the page
   cache: CPU time.
2. The loader alone with 1 and 2 workers, beside what the training step
   consumes.
3. The share of a training loop's time that it is blocked in ``next(loader)``,
   with 1 and 2 workers beside the step.
4. Start-up time and memory of a worker with a table of 500,000 recordings.
5. Batches of 16 x 4 s of each kind of training data, in turn: fixed pairs (two
   crops of files), remix, and DNS2020's mixing with impulse responses. CPU time
   of a batch in one process, and what 1 and 2 workers load. Alone by
   --only_kinds.

Without --data_folder, which has clean/ and noise/ at 16 kHz and may have
impulse_responses/, the recordings are noise, 16-bit wavs of 6 s.
"""

import argparse
import dataclasses
import functools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from measure import in_fresh_process, rise_of_peak
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader, RandomSampler

from speechbrain_dfkd import DFKDLoss, FrequencyAdapter, FrozenTeacher
from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.data.dataset import crop_recordings
from speechbrain_dfkd.data.manifest import write_manifest
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.mixtures import (
    Mixtures,
    MixtureSource,
    write_fixed_mixtures,
)
from speechbrain_dfkd.data.pairs import recordings_below
from speechbrain_dfkd.data.recordings import Recordings, write_recordings
from speechbrain_dfkd.data.remix import remix_recordings
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.keys import DFKD_KEYS
from speechbrain_dfkd.stft import STFT

ROOT = Path(__file__).parents[1]
RATE, SECONDS, BATCH = 16000, 4.0, 4
QUARTER = {"channels": (4, 8, 16, 32, 32, 32), "lstm_units": 32}
ENTRIES = 500_000
# Of the kinds of training data: the batch of the published pairs.
LARGE_BATCH, PAIRS, PAIR_SECONDS, ROUNDS = 16, 60, 6, 3


def write_noise(folder):
    """Write recordings to mix where the user has none."""
    rng = np.random.default_rng(0)
    for kind in ("clean", "noise"):
        (folder / kind).mkdir()
        for i in range(100):
            wav = 0.1 * rng.standard_normal(6 * RATE)
            soundfile.write(folder / kind / f"{i}.wav", wav, RATE, "PCM_16")


def recipe_mixer():
    """Return the mixer of the DNS recipe."""
    leaf, layer = "hparams/dccrn_dfkd.yaml", "recipes/DNS/dns.yaml"
    settings = compose(ROOT / leaf, [ROOT / layer], "", DFKD_KEYS).settings()
    values = settings["dataset"]["mixer"]
    return Mixer(**{k: v for k, v in values.items() if k != "tag"})


def make_source(data_folder, folder):
    """Return a source of mixtures of a folder's recordings at 16 kHz."""
    tables = []
    for kind in ("clean", "noise"):
        infos = [
            soundfile.info(p) for p in recordings_below(data_folder / kind)
        ]
        wavs = [WavFile(Path(i.name), i.samplerate, i.frames) for i in infos]
        tables.append(folder / f"{kind}.npy")
        write_recordings(tables[-1], wavs)
    tables = map(Recordings, tables)
    frames = int(SECONDS * RATE)
    return MixtureSource(*tables, None, recipe_mixer(), frames, RATE)


def make_responses(data_folder, folder):
    """Return a table of impulse responses: the user's, or decaying noise."""
    paths = recordings_below(data_folder / "impulse_responses")
    if not paths:
        rng, time_axis = np.random.default_rng(0), np.arange(RATE // 2) / RATE
        (folder / "responses").mkdir()
        for i in range(50):
            paths.append(folder / f"responses/{i}.wav")
            decay = np.exp(-time_axis * rng.uniform(7, 30))
            response = decay * rng.standard_normal(len(decay))
            response /= np.abs(response).max()
            soundfile.write(paths[-1], 0.9 * response, RATE, "PCM_16")
    infos = [soundfile.info(path) for path in paths]
    wavs = [WavFile(Path(i.name), i.samplerate, i.frames) for i in infos]
    write_recordings(folder / "responses.npy", wavs)
    return Recordings(folder / "responses.npy")


def make_kinds(source, data_folder, folder):
    """Return a training set of each kind, of the same recordings."""
    whole = dataclasses.replace(source, frames=PAIR_SECONDS * RATE)
    pairs = write_fixed_mixtures(whole, PAIRS, folder / "pairs", n_jobs=1)
    write_manifest(folder / "pairs.json", pairs)
    crops = folder / "pairs.json", SECONDS, RATE, 0, EpochCounter(limit=1)
    responses = make_responses(data_folder, folder)
    reverberant = dataclasses.replace(source, impulse_responses=responses)
    return {
        "fixed pairs": crop_recordings(*crops),
        "remix": remix_recordings(*crops),
        "DNS mixing": Mixtures(reverberant, ENTRIES, 0, EpochCounter(limit=1)),
    }


def kind_loader(dataset, batches, workers):
    """Return a loader of so many batches of random items."""
    sampler = RandomSampler(dataset, True, batches * LARGE_BATCH)
    return DataLoader(
        dataset,
        LARGE_BATCH,
        sampler=sampler,
        num_workers=workers,
        collate_fn=PaddedBatch,
    )


def cpu_seconds(loader):
    """Return the CPU time of a batch of a loader in this process."""
    batches = iter(loader)
    next(batches)
    start = time.process_time()
    count = sum(1 for _ in batches)
    return (time.process_time() - start) / count


def report_kinds(kinds, batches):
    """Print what each kind of training data costs, medians of rounds."""
    found = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, dataset in kinds.items():
            cost = cpu_seconds(kind_loader(dataset, batches, 0))
            rates = [
                batches_per_second(kind_loader(dataset, batches, workers))
                for workers in (1, 2)
            ]
            found[name].append((cost, *rates))
    print(
        f"batches of {LARGE_BATCH} x {SECONDS:g} s, medians of {ROUNDS} rounds "
        f"of {batches}:\n{'':12}{'CPU ms':>9}{'a core':>11}{'1 worker':>11}"
        f"{'2 workers':>11}{'hours of audio a minute and core':>35}"
    )
    for name, rounds in found.items():
        cost, one, two = map(statistics.median, zip(*rounds, strict=True))
        hours = LARGE_BATCH * SECONDS / cost / 60
        print(
            f"{name:12}{1000 * cost:9.1f}{1 / cost:9.1f}/s{one:9.1f}/s"
            f"{two:9.1f}/s{hours:35.1f}"
        )


def cpu_milliseconds(source, count=200):
    """Return the median CPU time of a mixture, after a warm-up."""
    times = []
    for index in range(2 * count):
        start = time.process_time()
        source.mixture(0, index // count, index % count)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times[count:])


def make_loader(source, batches, workers):
    """Return a loader of mixtures."""
    dataset = Mixtures(source, batches * BATCH, 0, EpochCounter(limit=1))
    return DataLoader(
        dataset, BATCH, num_workers=workers, collate_fn=PaddedBatch
    )


def make_step():
    """Return a function that makes one DFKD step on a batch."""
    student, teacher = DCCRN(**QUARTER), FrozenTeacher(DCCRN())
    loss = DFKDLoss(STFT(), FrequencyAdapter())
    optimizer = torch.optim.Adam(student.parameters())

    def step(batch):
        (noisy, lengths), clean = batch.noisy_sig, batch.clean_sig.data
        enhanced = student(noisy)
        kd_loss, _ = loss(enhanced, teacher(noisy), clean, lengths)
        (si_snr_loss(enhanced.wav, clean, lengths) + kd_loss).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def batches_per_second(loader):
    """Return the rate of a loader after its first batch."""
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    count = sum(1 for _ in batches)
    return count / (time.perf_counter() - start)


def waiting_share(loader, step):
    """Return which share of a training loop waits, after its first batch."""
    batches, waited = iter(loader), 0.0
    step(next(batches))
    start = now = time.perf_counter()
    for batch in batches:
        waited += time.perf_counter() - now
        step(batch)
        now = time.perf_counter()
    return waited / (now - start)


def report_loader(source, arguments):
    """Print the rates, and the share of waiting."""
    step = make_step()
    batch = next(iter(make_loader(source, 1, 0)))
    step(batch)
    start = time.perf_counter()
    for _ in range(arguments.steps):
        step(batch)
    consumed = arguments.steps / (time.perf_counter() - start)
    print(f"training step consumes {consumed:8.2f} batches/s of {BATCH}")
    for workers in (1, 2):
        rate = batches_per_second(make_loader(source, 60, workers))
        share = waiting_share(
            make_loader(source, arguments.steps, workers), step
        )
        print(
            f"{workers} worker(s) load     {rate:8.2f} batches/s, "
            f"{rate / consumed:.0f} times; training waits {100 * share:.2f} %"
        )


def write_large_table(path):
    """Write a table of recordings that do not exist."""
    name = "/datasets/clean/read_speech/book_{:05d}_chp_0009_reader_06709.wav"
    wavs = (
        WavFile(Path(name.format(i)), RATE, 9 * RATE) for i in range(ENTRIES)
    )
    write_recordings(path, wavs)


def draw_from(path):
    """Open a table and draw from it, as a worker does."""
    recordings = Recordings(path)
    rng = np.random.default_rng(0)
    return [recordings[int(rng.integers(ENTRIES))] for _ in range(2000)]


def report_table(folder):
    """Print size, start-up time and memory of the large table."""
    table = folder / "large.npy"
    write_large_table(table)
    start = time.perf_counter()
    Recordings(table)
    milliseconds = 1000 * (time.perf_counter() - start)
    rise = in_fresh_process(Path(__file__), "--memory_of", str(table))
    print(f"table of {ENTRIES} recordings: {table.stat().st_size / 1e6:.0f} MB")
    print(f"opened in {milliseconds:.2f} ms")
    print(
        f"resident memory of a worker that drew 2000: {rise:.1f} MB more, "
        "of pages that all workers share"
    )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_folder", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--only_kinds", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    arguments = parse_arguments()
    if arguments.memory_of:
        print(rise_of_peak(functools.partial(draw_from, arguments.memory_of)))
        return
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.data_folder is None:
            write_noise(folder)
        data_folder = arguments.data_folder or folder
        source = make_source(data_folder, folder)
        kinds = make_kinds(source, data_folder, folder)
        report_kinds(kinds, arguments.batches)
        if arguments.only_kinds:
            return
        print(f"one mixture: {cpu_milliseconds(source):.2f} ms of CPU")
        report_table(folder)
        report_loader(source, arguments)


if __name__ == "__main__":
    main()
