"""Checks this machine's card: whether it is correct, fast, and never waits.

    python benchmarks/card.py --device cuda --seconds 300 --out card.json
    python benchmarks/card.py --device cpu --small

Sections: ``parity`` of all networks and objectives with the CPU; ``speed`` of
training steps of the published pairs, 16 x 4 s; ``waits`` of the host within a
step; ``profile`` of a step's kernels; ``variants`` of the step, each beside it;
``loader``, how long a training waits for data. Each runs in a process of its
own for a share of the seconds, and what it found is kept when it fails. What
misses its bar is marked FAIL, and makes the exit code 1; the times of
``--small`` are not judged.
"""

import argparse
import collections
import functools
import json
import operator
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import soundfile
import torch
from card_steps import Card, Pair, allow_tf32
from losses import load_losses
from measure import median_ratio
from sizes import load_network, load_sizes
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.profiler import ProfilerActivity, profile
from train_step import RATE

from speechbrain_dfkd.data.dataset import read_wav
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import Enhanced

TINY = ("dccrn_eighth", "conv_tasnet_tiny", "dptnet_tiny")
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
BARS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


def relative(value, reference):
    """Return how far a tensor is from another, relative to that one."""
    value, reference = value.double().cpu(), reference.double().cpu()
    return float((value - reference).norm() / reference.norm())


def of_network(name, device, dtype=None):
    """Return a network's output and gradient, in training mode."""
    torch.manual_seed(0)
    model = load_network(name)
    with torch.no_grad():  # away from where a network returns its input
        for weight in model.parameters():
            weight += 0.01 * torch.randn_like(weight)
    noisy, clean = (0.1 * torch.randn(2, 2, 8000)).to(device)
    model.to(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        wav = model(noisy).wav
        loss = si_snr_loss(wav, clean, torch.ones(2, device=device))
    loss.backward()
    gradients = [weight.grad.flatten() for weight in model.parameters()]
    return wav.detach(), torch.cat(gradients)


def of_objective(loss, device, dtype=None):
    """Return an objective's value and gradient."""
    torch.manual_seed(0)
    student, teacher, clean = (0.1 * torch.randn(3, 2, 8000)).to(device)
    own, features = torch.randn(2, 2, 6, 5, 81).to(device)
    student.requires_grad_()
    own.requires_grad_()
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        value, _ = loss.to(device)(
            Enhanced(student, dict.fromkeys(loss.student_features, own)),
            Enhanced(teacher, dict.fromkeys(loss.teacher_features, features)),
            clean,
            torch.ones(2, device=device),
        )
    value.backward()
    gradient = own.grad if student.grad is None else student.grad
    return value.detach(), gradient


def parity(card):
    """Compare with the CPU, in float32 and in half precision."""
    allow_tf32(False)
    cpu = torch.device("cpu")
    networks = TINY if card.small else load_sizes()
    works = {name: functools.partial(of_network, name) for name in networks}
    for name, loss in load_losses().items():
        works[name] = functools.partial(of_objective, loss)
    for name, work in works.items():
        expected = work(cpu)
        pairs = zip(work(card.device), expected, strict=True)
        error = max(relative(*pair) for pair in pairs)
        yield f"{name}, fp32", error, "<= 1e-4"
        for precision, dtype in HALVES.items():
            if card.is_cuda or precision == "bf16":
                value = work(card.device, dtype)[0]
                error = relative(value, expected[0])
                yield f"{name}, {precision}", error, "<= 0.05"


def speed(card):
    """Time steps beside their parts."""
    allow_tf32(True)
    medians = {}
    precisions = ["fp32"] if card.small else ["fp32", "bf16"]
    for family, names in card.pairs.items():
        for precision in precisions:
            title = f"{family}, {precision}"
            works = Pair(card, names, precision).works()
            times = card.time(works)
            for name, values in times.items():
                medians[title, name] = statistics.median(values)
                yield f"{title}, {name} [ms]", 1e3 * medians[title, name], None
            alone = zip(times["student"], times["teacher"], strict=True)
            ratio = median_ratio(times["DFKD"], [sum(pair) for pair in alone])
            yield f"{title}, DFKD / (student + teacher)", ratio, "<= 1.05"
            ratio = median_ratio(times["cached"], times["student"])
            yield f"{title}, cached / student", ratio, None
            rate = 1 / medians[title, "DFKD"]
            yield f"{title}, DFKD [steps/s]", rate, None
            yield f"{title}, DFKD, peak [MB]", card.peak(works["DFKD"]), None
        if "bf16" in precisions:
            pair = [medians[f"{family}, {p}", "DFKD"] for p in precisions]
            bar = ">= 1.3" if family == "DCCRN" and card.is_cuda else None
            yield f"{family}, fp32 / bf16", pair[0] / pair[1], bar


def places_of(caught):
    """Return the lines of code at which the host waited, by warnings."""
    return [
        f"{Path(warning.filename).name}:{warning.lineno}"
        for warning in caught
        if "synchroniz" in str(warning.message)
    ]


def waits(card):
    """Count where the host waits for the device within a step."""
    if not card.is_cuda:
        yield "needs a GPU", 0, None
        return
    for family, names in card.pairs.items():
        pair = Pair(card, names)
        end, at_end = pair.brain.optimizers_step, []
        for _ in range(3):
            pair.step(pair.brain)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            def noted(end=end, at_end=at_end, caught=caught):
                at_end.append(len(places_of(caught)))
                end()

            pair.brain.optimizers_step = noted
            torch.cuda.set_sync_debug_mode("warn")
            pair.step(pair.brain)
            torch.cuda.set_sync_debug_mode("default")
        yield f"{family}, before the end of a step", at_end[0], "<= 0"
        places = collections.Counter(places_of(caught))
        for place, count in places.items():
            yield f"{family}, at {place}", count, None


def kernels(card):
    """Profile a step: its kernels, and how long the device has work."""
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] * card.is_cuda
    for family, names in card.pairs.items():
        pair = Pair(card, names)
        for _ in range(3):
            pair.step(pair.brain)
        card.wait()
        with profile(activities=activities) as run:
            start = time.perf_counter()
            pair.step(pair.brain)
            card.wait()
            wall = 1e6 * (time.perf_counter() - start)
        kind = "device" if card.is_cuda else "cpu"
        events = [
            (getattr(event, f"self_{kind}_time_total"), event.count, event.key)
            for event in run.key_averages()
            if not card.is_cuda or "CUDA" in str(event.device_type)
        ]
        yield f"{family}, kernels", sum(count for _, count, _ in events), None
        share = sum(micro for micro, _, _ in events) / wall
        yield f"{family}, share of the time that is busy", share, None
        for micro, count, key in sorted(events, reverse=True)[:6]:
            yield f"{family}, {count} x {key[:48]} [ms]", micro / 1e3, None


def beside(pair):
    """Run the teacher on a stream of its own, while the student runs."""
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()

    def follow(modules, batch):
        side.wait_stream(main)
        with torch.cuda.stream(side):
            teacher = pair.teacher.estimate(batch)
        student = modules.student(batch.noisy_sig.data)
        main.wait_stream(side)
        return student, teacher

    pair.brain._follow = follow


def in_inference_mode(pair):
    """Run the teacher in inference mode in place of ``no_grad``."""
    pair.teacher.forward = torch.inference_mode()(pair.teacher.model)


def compiled_teacher(pair):
    """Run the teacher under ``torch.compile``."""
    pair.teacher.model = torch.compile(pair.teacher.model)


def compiled_student(pair):
    """Train the student under ``torch.compile``."""
    modules = pair.brain.modules
    modules["student"] = torch.compile(modules["student"])


VARIANTS = {
    "a second stream": beside,
    "inference mode": in_inference_mode,
    "compiled teacher": compiled_teacher,
    "compiled student": compiled_student,
}


def variants(card):
    """Time a step beside the same with one thing changed."""
    allow_tf32(True)
    for family, names in card.pairs.items():
        for title, change in VARIANTS.items():
            on_cpu = change is in_inference_mode
            if not (on_cpu or card.is_cuda):
                continue  # no streams there, and compiling takes minutes
            plain, changed = Pair(card, names), Pair(card, names)
            change(changed)
            times = card.time(
                {
                    "plain": functools.partial(plain.step, plain.brain),
                    "changed": functools.partial(changed.step, changed.brain),
                }
            )
            gain = median_ratio(times["plain"], times["changed"])
            yield f"{family}, plain / {title}", gain, None


def loader(card):
    """Return the share of a training's time in which it waits for data."""
    size, seconds = card.batch
    steps = 3 if card.small else 30
    frames = int(RATE * seconds)
    names = next(iter(card.pairs.values()))
    pair = Pair(card, names)
    with tempfile.TemporaryDirectory() as folder:
        recordings = {}
        for i in range(size):
            path = f"{folder}/{i}.wav"
            soundfile.write(path, 0.1 * torch.randn(2 * frames).numpy(), RATE)
            recordings[str(i)] = {"path": path}
        data = {f"{i}": recordings[str(i % size)] for i in range(size * steps)}

        def read(path):
            return read_wav(path, RATE, 0, frames)

        items = [
            {"func": read, "takes": ["path"], "provides": name}
            for name in ("clean_sig", "noisy_sig")
        ]
        dataset = DynamicItemDataset(
            data, items, ["id", "clean_sig", "noisy_sig"]
        )
        options = {"batch_size": size, "num_workers": 0 if card.small else 4}
        options |= {"collate_fn": PaddedBatch, "pin_memory": card.is_cuda}
        batches = iter(make_dataloader(dataset, **options))
        pair.batch = next(batches)  # until the workers have started
        pair.step(pair.brain)
        card.wait()
        waited, start = 0.0, time.perf_counter()
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            waited += time.perf_counter() - before
            pair.batch = batch
            pair.step(pair.brain)
        card.wait()
        share = waited / (time.perf_counter() - start)
    yield (
        f"share of the time, {options['num_workers']} workers",
        share,
        "< 0.05",
    )


SECTIONS = {
    "parity": (parity, 0.25),
    "speed": (speed, 0.25),
    "waits": (waits, 0.1),
    "profile": (kernels, 0.1),
    "loader": (loader, 0.1),
    "variants": (variants, 0.2),
}


def run_section(name, seconds, words):
    """Run a section in a process; return its rows and how it failed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.jsonl")
        command = [sys.executable, __file__, *words, "--rows", str(rows)]
        command += ["--section", name]
        try:
            done = subprocess.run(
                command, timeout=seconds, capture_output=True, text=True
            )
            failure = done.stderr.strip()[-600:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"not done after {seconds:.0f} s"
        lines = rows.read_text().splitlines() if rows.exists() else []
    return [json.loads(line) for line in lines], failure


def judge(section, value, bar, small):
    """Return "FAIL", "PASS", or "" of what is not judged."""
    if bar is None or (small and section != "parity"):
        return ""
    sign, limit = bar.split()
    return "PASS" if BARS[sign](value, float(limit)) else "FAIL"


def main():
    """Run the sections, and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS)
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.section:
        card = Card(arguments.device, arguments.small)
        with arguments.rows.open("a", encoding="utf-8") as stream:
            for row in SECTIONS[arguments.section][0](card):
                print(json.dumps(row), file=stream, flush=True)
        return
    on_gpu = arguments.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("--device cuda must be there, got none; try --device cpu")
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{name}, torch {torch.__version__}")
    words = ["--device", arguments.device, *["--small"] * arguments.small]
    found, verdicts = {"device": name, "torch": torch.__version__}, []
    for section in arguments.sections or SECTIONS:
        seconds = arguments.seconds * SECTIONS[section][1]
        rows, failure = run_section(section, seconds, words)
        found[section] = {"rows": rows, "failure": failure}
        for title, value, bar in rows:
            verdicts.append(judge(section, value, bar, arguments.small))
            text = f"{section:8} {title:56} {value:10.4g}  {bar or '':8}"
            print(text, verdicts[-1])
        if failure:
            verdicts.append("FAIL")
            print(f"{section:8} did not end: {failure}  FAIL")
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{verdicts.count('PASS')} passed, {verdicts.count('FAIL')} failed")
    sys.exit("FAIL" in verdicts)


if __name__ == "__main__":
    main()
