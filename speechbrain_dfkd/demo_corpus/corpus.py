"""A demo corpus in the layout of VoiceBank or of DNS."""

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.io import wavfile
from tqdm import tqdm

from speechbrain_dfkd.demo_corpus import noise, talkers
from speechbrain_dfkd.errors import UserError

MARKER = "demo_corpus.json"
# Raised with every change to what the same arguments produce.
_VERSION, _DNS_VERSION = 2, 2
# A build takes seconds; what nobody wrote to for so long was killed.
_ABANDONED_SECONDS = 600
_SNRS_DB = (0, 5, 10, 15)
LEVEL_DB = (-32, -22)
# More than the step between the frames of any network.
_SHORTENED_SAMPLES = 200
PEAK = 0.99
_FOLDERS = {"train": "trainset_28spk", "test": "testset"}


def make_demo_corpus(
    out_folder: str | Path,
    *,
    utterances_per_speaker: int,
    test_utterances: int,
    min_seconds: float,
    max_seconds: float,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Make the demo corpus in ``out_folder``, unless it is there already.

    The same arguments give the same bytes, on one type of machine and version
    of the libraries. It appears under its name only when complete.

    Arguments
    ---------
    out_folder : str or Path
        The folder to make, with ``{clean,noisy}_trainset_28spk_wav_16k`` and
        ``{clean,noisy}_testset_wav_16k``.
    utterances_per_speaker : int
        Of each of the 28 training speakers.
    test_utterances : int
        Shared by the two test speakers.
    min_seconds, max_seconds : float
        Speech shorter than the first gets a further sentence, speech longer
        than the second is cut. At least 0.5.
    seed : int
        Another seed gives other sentences, noises and levels.
    progress : bool
        Whether to show a bar.
    """
    arguments = {
        "version": _VERSION,
        "utterances_per_speaker": utterances_per_speaker,
        "test_utterances": test_utterances,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
        "sample_rate": noise.RATE,
        "seed": seed,
    }
    total = utterances_per_speaker * len(talkers.SPEAKERS["train"])
    splits = (("train", total), ("test", test_utterances))
    parts = (_pairs(*split, arguments) for split in splits)
    wavs = 2 * (total + test_utterances)
    _build(Path(out_folder), arguments, parts, wavs, progress)


def make_dns_corpus(
    out_folder: str | Path,
    *,
    speech_per_speaker: int,
    noises: int,
    test_utterances: int,
    min_seconds: float,
    max_seconds: float,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Make the demo corpus as DNS2020 is laid out, unless it is there already.

    All else is as in ``make_demo_corpus``.

    Arguments
    ---------
    out_folder : str or Path
        The folder to make, with ``clean``, ``noise`` and
        ``test_set/synthetic/no_reverb/{clean,noisy}``.
    speech_per_speaker : int
        Recordings of each of the 28 training speakers.
    noises : int
        Recordings of noise, of ``max_seconds`` each, their kinds by turns.
    """
    arguments = {
        "version": _DNS_VERSION,
        "layout": "DNS2020",
        "speech_per_speaker": speech_per_speaker,
        "noises": noises,
        "test_utterances": test_utterances,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
        "sample_rate": noise.RATE,
        "seed": seed,
    }
    parts = (make(arguments) for make in (_dns_speech, _dns_noises, _dns_tests))
    speech = speech_per_speaker * len(talkers.SPEAKERS["train"])
    wavs = speech + noises + 2 * test_utterances
    _build(Path(out_folder), arguments, parts, wavs, progress)


def _build(
    out: Path, arguments: dict, parts: Iterable, wav_count: int, progress: bool
) -> None:
    """Write the files of all parts to a folder that becomes ``out``."""
    shortest = arguments["min_seconds"]
    least = {"seed": 0, "min_seconds": 0.5, "max_seconds": shortest}
    for name, value in arguments.items():
        if name != "layout" and value < least.get(name, 1):
            limit = "min_seconds = " if name == "max_seconds" else ""
            raise UserError(
                f"{name} must be at least {limit}{least.get(name, 1)}, got "
                f"{value}; change it in the demo's hparams"
            )
    out = out.absolute()
    marker = json.dumps(arguments, indent=2) + "\n"
    if _is_made(out, marker, wav_count):
        return
    prefix = f".{out.name}.building-"
    out.parent.mkdir(parents=True, exist_ok=True)
    for folder in out.parent.glob(f"{prefix}*"):
        paths = (folder, *folder.rglob("*"))
        last = max(path.stat().st_mtime for path in paths)
        if time.time() - last > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    build = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        bar = tqdm(total=wav_count, desc="demo corpus", disable=not progress)
        for name, content in itertools.chain.from_iterable(parts):
            path = build / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content)
            else:
                write_wav(path, content)
                bar.update()
        bar.close()
        (build / MARKER).write_text(marker)
        # mkdtemp makes a folder that only its owner can read.
        build.chmod(0o755)
        if _is_made(out, marker, wav_count):
            return  # Another process was faster.
        if out.exists():
            out.rmdir()
        build.rename(out)
    finally:
        shutil.rmtree(build, ignore_errors=True)


def _is_made(out: Path, wanted: str, wav_count: int) -> bool:
    """Tell whether a folder is the whole corpus; refuse any other content."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    marker = out / MARKER
    if not marker.is_file():
        raise UserError(
            f"out_folder must be new, empty or a demo corpus, got {out}, which "
            "holds something else; choose another folder"
        )
    if (text := marker.read_text()) != wanted:
        raise UserError(
            "out_folder must hold a demo corpus made with "
            f"{json.loads(wanted)}, got {out}, made with {text}; choose another "
            "folder, or delete this one to make it anew"
        )
    found = sum(1 for _ in out.rglob("*.wav"))
    if found != wav_count:
        raise UserError(
            f"{out} must hold {wav_count} wav files, got {found}; delete the "
            "folder to make it anew"
        )
    return True


def write_wav(path: Path, wav: np.ndarray) -> None:
    """Write a signal at 16 kHz as a 16-bit wav."""
    wavfile.write(path, noise.RATE, np.round(wav * 32767).astype("<i2"))


def _pairs(split: str, count: int, arguments: dict) -> Iterator[tuple]:
    """Yield the pairs of a split of VoiceBank, and their log."""
    log, voices = [], [*talkers.background(split, arguments["seed"])]
    for speaker, place, wav in _utterances(split, count, arguments):
        number, index = divmod(place, len(talkers.SPEAKERS[split]))
        name = f"{speaker}_{number + 1:03d}"
        rng = talkers.named_rng(arguments["seed"], f"{split} {name}")
        kind, snr_db = turn(split, index + number)
        pair = _in_noise(wav, noise.KINDS[split][kind], voices, snr_db, rng)
        for side, mixed in zip(("clean", "noisy"), pair, strict=True):
            yield f"{side}_{_FOLDERS[split]}_wav_16k/{name}.wav", mixed
        log.append(f"{name} {kind} {snr_db}\n")
    yield f"log_{_FOLDERS[split]}.txt", "".join(log)


def _dns_speech(arguments: dict) -> Iterator[tuple]:
    seed, speakers = arguments["seed"], len(talkers.SPEAKERS["train"])
    count = arguments["speech_per_speaker"] * speakers
    for speaker, place, wav in _utterances("train", count, arguments):
        if place < speakers:  # the first one of each
            levels = talkers.named_rng(seed, f"dns level {speaker}")
            ends = talkers.named_rng(seed, f"dns end {speaker}")
        wav = wav[: odd_length(len(wav), ends)]
        level_db = levels.uniform(*LEVEL_DB)
        name = f"{speaker}_{place // speakers + 1:03d}"
        yield f"clean/{name}.wav", _at_level(wav, level_db)


def _dns_noises(arguments: dict) -> Iterator[tuple]:
    kinds = list(noise.KINDS["train"].items())
    length = round(arguments["max_seconds"] * noise.RATE)
    voices = [*talkers.background("train", arguments["seed"])]
    for number in range(arguments["noises"]):
        kind, make = kinds[number % len(kinds)]
        rng = talkers.named_rng(arguments["seed"], f"dns noise {number}")
        wav = make(length, voices, rng)[: odd_length(length, rng)]
        yield f"noise/{kind}_{number:03d}.wav", _at_level(wav, LEVEL_DB[0])


def _dns_tests(arguments: dict) -> Iterator[tuple]:
    count, voices = (
        arguments["test_utterances"],
        [*talkers.background("test", arguments["seed"])],
    )
    for speaker, place, wav in _utterances("test", count, arguments):
        rng = talkers.named_rng(arguments["seed"], f"dns test {place}")
        kind, snr_db = turn("test", place)
        make = noise.KINDS["test"][kind]
        clean, noisy = _in_noise(wav, make, voices, snr_db, rng)
        name = f"{speaker}_{kind}_snr{snr_db}_fileid_{place}"
        folder = "test_set/synthetic/no_reverb"
        yield f"{folder}/clean/clean_fileid_{place}.wav", clean
        yield f"{folder}/noisy/{name}.wav", noisy


def turn(split: str, position: int) -> tuple[str, int]:
    """Return noise kind and SNR; by turns, every pair of them."""
    kinds = list(noise.KINDS[split])
    return kinds[position % len(kinds)], _SNRS_DB[position % len(_SNRS_DB)]


def _utterances(split: str, count: int, arguments: dict) -> Iterator[tuple]:
    """Yield speaker, place and speech; each ``len(speakers)``-th is of one."""
    limits = arguments["min_seconds"], arguments["max_seconds"]
    for index, (speaker, voice) in enumerate(talkers.SPEAKERS[split].items()):
        talker = talkers.Talker(voice, split, arguments["seed"])
        for place in range(index, count, len(talkers.SPEAKERS[split])):
            yield speaker, place, talker.utterance(*limits)
        talker.engine.close()


def _in_noise(
    wav: np.ndarray, make: Callable, voices: list, snr_db: int, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return clean and noisy of an utterance."""
    sound = make(len(wav), voices, rng)
    level_db = rng.uniform(*LEVEL_DB)
    end = odd_length(len(wav), rng)
    return mix(wav[:end], sound[:end], snr_db, level_db)


def odd_length(length: int, rng: Generator) -> int:
    """Return an odd number of samples, at most 200 fewer than ``length``."""
    return (length - 1 - int(rng.integers(_SHORTENED_SAMPLES))) | 1


def mix(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return clean [L] at a level and noisy [L] at an SNR; neither clips."""
    clean = _at_rms(speech, level_db)
    noisy = clean + _at_rms(noise, level_db - snr_db)
    turn_down = min(1, PEAK / max(np.abs(clean).max(), np.abs(noisy).max()))
    return clean * turn_down, noisy * turn_down


def _at_level(wav: np.ndarray, level_db: float) -> np.ndarray:
    """Return a signal at a level, or below it where it would clip."""
    wav = _at_rms(wav, level_db)
    return wav * min(1, PEAK / np.abs(wav).max())


def _at_rms(wav: np.ndarray, level_db: float) -> np.ndarray:
    return wav / np.sqrt(np.mean(np.square(wav))) * 10 ** (level_db / 20)
