"""A demo corpus in the layout of VoiceBank or of DNS."""

import json
import shutil
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from speechbrain_dfkd.demo_corpus import noise, talkers
from speechbrain_dfkd.errors import UserError

MARKER = "demo_corpus.json"
# A build takes seconds; what nobody wrote to for so long was killed.
_ABANDONED_SECONDS = 600


def already_made(out: Path, arguments: dict, wav_count: int) -> bool:
    """Tell whether ``out`` holds the corpus that ``arguments`` describe.

    Arguments
    ---------
    out : pathlib.Path
        The corpus folder.
    arguments : dict
        All that the corpus depends on, as written in its marker file.
    wav_count : int
        How many wav files it has.

    Returns
    -------
    bool
        False if ``out`` does not exist or is empty.

    Raises
    ------
    UserError
        If ``out`` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    marker = out / MARKER
    if not marker.is_file():
        raise UserError(
            f"out_folder must be new, empty or a demo corpus, got {out}, which "
            "holds something else; choose another folder"
        )
    if _read(marker) != arguments:
        raise UserError(
            f"out_folder must hold a demo corpus made with {arguments}, got "
            f"{out}, made with {marker.read_text(encoding='utf-8')}; choose "
            "another folder, or delete this one to make it anew"
        )
    found = sum(1 for _ in out.rglob("*.wav"))
    if found != wav_count:
        raise UserError(
            f"{out} must hold {wav_count} wav files, got {found}; delete the "
            "folder to make it anew"
        )
    return True


@contextmanager
def building(out: Path, arguments: dict, wav_count: int) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``out`` when the block succeeds.

    Arguments
    ---------
    out, arguments, wav_count
        See ``already_made``, which must have returned False.

    Yields
    ------
    pathlib.Path
        A folder beside ``out``, gone when the block fails.

    Raises
    ------
    UserError
        If the disk is full or not writable.
    """
    prefix = f".{out.name}.building-"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out.parent, prefix)
        build = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        try:
            yield build
            text = json.dumps(arguments, indent=2) + "\n"
            (build / MARKER).write_text(text, encoding="utf-8")
            _publish(build, out, arguments, wav_count)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"out_folder must be writable and have room, got {out}: {error}; "
            "free some space or choose another folder"
        ) from error


def _publish(build, out, arguments, wav_count):
    # mkdtemp makes a folder that only its owner can read.
    build.chmod(0o755)
    if out.exists() and already_made(out, arguments, wav_count):
        return  # Another process was faster.
    if out.exists():
        out.rmdir()
    build.rename(out)


def _remove_abandoned(parent, prefix):
    for folder in parent.glob(f"{prefix}*"):
        last = max(
            path.stat().st_mtime for path in (folder, *folder.rglob("*"))
        )
        if time.time() - last > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _read(marker):
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{marker} must be JSON, got: {error}; delete its folder to make "
            "the demo corpus anew"
        ) from error


# Raised with every change to what the same arguments produce.
_VERSION = 2
_SNRS_DB = (0, 5, 10, 15)
LEVEL_DB = (-32, -22)
# More than the step between the frames of any network.
_SHORTENED_SAMPLES = 200
PEAK = 0.99
# The names that the recipe gives to folders of either sample rate.
_FOLDER_SUFFIX = {16000: "wav_16k", 48000: "wav"}


class Split(NamedTuple):
    """Who speaks, in which noises."""

    name: str
    folder: str
    speakers: dict
    background: tuple
    kinds: dict


TRAIN = Split(
    "train",
    "trainset_28spk",
    talkers.TRAIN_SPEAKERS,
    talkers.TRAIN_BACKGROUND,
    noise.TRAIN_KINDS,
)
TEST = Split(
    "test",
    "testset",
    talkers.TEST_SPEAKERS,
    talkers.TEST_BACKGROUND,
    noise.TEST_KINDS,
)


def make_demo_corpus(
    out_folder,
    *,
    utterances_per_speaker: int,
    test_utterances: int,
    min_seconds: float,
    max_seconds: float,
    sample_rate: int = 16000,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Make the demo corpus in ``out_folder``, unless it is there already.

    The same arguments give the same bytes, on one type of machine and version
    of the libraries. An utterance ends up to 12.5 ms early, after an odd number
    of samples, as recordings are no multiple of a frame either. The corpus
    appears under its name only when complete.

    Arguments
    ---------
    out_folder : str or pathlib.Path
        The folder to make. It gets ``clean_trainset_28spk_wav_16k``,
        ``noisy_trainset_28spk_wav_16k``, ``clean_testset_wav_16k`` and
        ``noisy_testset_wav_16k``; at 48 kHz, the same without ``_16k``.
    utterances_per_speaker : int
        Of each of the 28 training speakers.
    test_utterances : int
        Shared by the two test speakers.
    min_seconds, max_seconds : float
        Speech shorter than the first gets a further sentence, speech longer
        than the second is cut. At least 0.5.
    sample_rate : int
        16000, or 48000 as in VoiceBank: then upsampled from 16 kHz, so that
        the SNR holds in the band that is used.
    seed : int
        Another seed gives other sentences, noises and levels.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    UserError
        If an argument is out of range, ``out_folder`` holds something else,
        the disk is full, or eSpeak NG is missing.
    """
    arguments = {
        "version": _VERSION,
        "utterances_per_speaker": utterances_per_speaker,
        "test_utterances": test_utterances,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
        "sample_rate": sample_rate,
        "seed": seed,
    }
    check_arguments(arguments, ("utterances_per_speaker", "test_utterances"))
    out = Path(out_folder).absolute()
    train_total = utterances_per_speaker * len(TRAIN.speakers)
    plan = ((TRAIN, train_total), (TEST, test_utterances))
    total = train_total + test_utterances
    if already_made(out, arguments, 2 * total):
        return
    with (
        building(out, arguments, 2 * total) as build,
        tqdm(total=total, desc="demo corpus", disable=not progress) as bar,
    ):
        for split, count in plan:
            _make_split(split, count, arguments, build, bar)


def mix(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Add ``noise`` to ``speech`` at a given SNR and level of the speech.

    Arguments
    ---------
    speech, noise : numpy.ndarray
        [samples] of any level.
    snr_db : float
        Ratio of the mean powers over the whole utterance.
    level_db : float
        RMS of the clean speech in dB re full scale; both are turned down
        together where a peak would exceed 0.99.

    Returns
    -------
    tuple of numpy.ndarray
        Clean and noisy, [samples] each.

    Example
    -------
    >>> clean, noisy = mix(np.array([1.0, -1.0]), np.array([3.0, 3.0]), 0, -20)
    >>> clean.round(3).tolist(), noisy.round(3).tolist()
    ([0.1, -0.1], [0.2, 0.0])
    """
    clean = speech / _rms(speech) * 10 ** (level_db / 20)
    noisy = clean + noise / _rms(noise) * 10 ** ((level_db - snr_db) / 20)
    turn_down = min(1, PEAK / max(np.abs(clean).max(), np.abs(noisy).max()))
    return clean * turn_down, noisy * turn_down


def _make_split(split, count, arguments, build, bar):
    seed = arguments["seed"]
    suffix = _FOLDER_SUFFIX[arguments["sample_rate"]]
    folders = [
        build / f"{c}_{split.folder}_{suffix}" for c in ("clean", "noisy")
    ]
    for folder in folders:
        folder.mkdir()
    background = list(talkers.background(split.background, split.name, seed))
    log = []
    for index, speaker in enumerate(split.speakers):
        share = len(range(index, count, len(split.speakers)))
        speech = spoken(split, speaker, share, arguments)
        for number, wav in enumerate(speech):
            name = f"{speaker}_{number + 1:03d}"
            rng = talkers.named_rng(seed, f"{split.name} {name}")
            kind, snr_db = turn(split, index + number)
            sound = split.kinds[kind](len(wav), background, rng)
            level_db = rng.uniform(*LEVEL_DB)
            end = odd_length(len(wav), rng)
            pair = mix(wav[:end], sound[:end], snr_db, level_db)
            for folder, mixed in zip(folders, pair, strict=True):
                write_wav(
                    folder / f"{name}.wav", mixed, arguments["sample_rate"]
                )
            log.append(f"{name} {kind} {snr_db}\n")
            bar.update()
    (build / f"log_{split.folder}.txt").write_text("".join(log))


def turn(split: Split, position: int) -> tuple:
    """Return noise kind and SNR; by turns, every pair of them."""
    kinds = list(split.kinds)
    return kinds[position % len(kinds)], _SNRS_DB[position % len(_SNRS_DB)]


def spoken(split: Split, speaker: str, share: int, arguments: dict):
    """Yield ``share`` utterances of a speaker, float32 at 16 kHz."""
    talker = talkers.Talker(
        split.speakers[speaker], split.name, arguments["seed"]
    )
    for _ in range(share):
        yield talker.utterance(
            arguments["min_seconds"], arguments["max_seconds"]
        )
    talker.close()


def odd_length(length: int, rng: np.random.Generator) -> int:
    """Return an odd number of samples, at most 200 fewer than ``length``.

    Example
    -------
    >>> lengths = {odd_length(400, np.random.default_rng(n)) for n in range(9)}
    >>> all(200 < length < 400 and length % 2 for length in lengths)
    True
    """
    return (length - 1 - int(rng.integers(_SHORTENED_SAMPLES))) | 1


def write_wav(path: Path, wav: np.ndarray, sample_rate: int):
    """Write a signal at 16 kHz as a 16-bit wav at ``sample_rate``."""
    if sample_rate != noise.RATE:
        wav = resample_poly(wav, sample_rate // noise.RATE, 1).clip(-1, 1)
    with path.open("wb") as file, wave.open(file, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(sample_rate)
        output.writeframes(np.round(wav * 32767).astype("<i2").tobytes())


def _rms(wav):
    return np.sqrt(np.mean(np.square(wav)))


def check_arguments(arguments: dict, counts: tuple):
    """Refuse impossible arguments; ``counts`` must be at least 1."""
    for name in counts:
        _require(arguments, name, arguments[name] >= 1, "be at least 1")
    _require(arguments, "seed", arguments["seed"] >= 0, "not be negative")
    shortest = arguments["min_seconds"]
    _require(arguments, "min_seconds", shortest >= 0.5, "be at least 0.5")
    _require(
        arguments,
        "max_seconds",
        arguments["max_seconds"] >= shortest,
        f"be at least min_seconds = {shortest}",
    )
    _require(
        arguments,
        "sample_rate",
        arguments["sample_rate"] in _FOLDER_SUFFIX,
        "be 16000 or 48000",
    )


def _require(arguments: dict, name: str, fulfilled: bool, constraint: str):
    if not fulfilled:
        raise UserError(
            f"{name} must {constraint}, got {arguments[name]}; "
            "change it in the demo's hparams"
        )


# Raised with every change to what the same arguments produce.
_DNS_VERSION = 2
_COUNTS = ("speech_per_speaker", "noises", "test_utterances")
_TEST_FOLDER = "test_set/synthetic/no_reverb"


def make_dns_corpus(
    out_folder,
    *,
    speech_per_speaker: int,
    noises: int,
    test_utterances: int,
    min_seconds: float,
    max_seconds: float,
    sample_rate: int = 16000,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Make the demo corpus as DNS2020 is laid out, unless it is there already.

    Speech, noises and test are those of ``make_demo_corpus``. Same arguments
    give the same bytes; the corpus appears under its name only when complete.

    Arguments
    ---------
    out_folder : str or pathlib.Path
        The folder to make. It gets ``clean``, ``noise`` and
        ``test_set/synthetic/no_reverb/{clean,noisy}``.
    speech_per_speaker : int
        Recordings of each of the 28 training speakers.
    noises : int
        Recordings of noise, of ``max_seconds`` each, their kinds by turns.
    test_utterances : int
        Mixtures of the two test speakers with other kinds of noise.
    min_seconds, max_seconds : float
        Length of speech, at least 0.5.
    sample_rate : int
        16000 or 48000.
    seed : int
        Another seed gives other sentences and noises.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    UserError
        As ``make_demo_corpus`` does.
    """
    arguments = {
        "version": _DNS_VERSION,
        "layout": "DNS2020",
        "speech_per_speaker": speech_per_speaker,
        "noises": noises,
        "test_utterances": test_utterances,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
        "sample_rate": sample_rate,
        "seed": seed,
    }
    check_arguments(arguments, _COUNTS)
    out = Path(out_folder).absolute()
    speech = speech_per_speaker * len(TRAIN.speakers)
    total = speech + noises + 2 * test_utterances
    if already_made(out, arguments, total):
        return
    with (
        building(out, arguments, total) as build,
        tqdm(total=total, desc="demo corpus", disable=not progress) as bar,
    ):
        for name, wav in _files(arguments):
            path = build / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, wav, sample_rate)
            bar.update()


def _files(arguments):
    yield from _speech(arguments)
    yield from _noises(arguments)
    yield from _tests(arguments)


def _speech(arguments):
    share = arguments["speech_per_speaker"]
    for speaker in TRAIN.speakers:
        rng = talkers.named_rng(arguments["seed"], f"dns level {speaker}")
        ends = talkers.named_rng(arguments["seed"], f"dns end {speaker}")
        utterances = spoken(TRAIN, speaker, share, arguments)
        for number, wav in enumerate(utterances):
            wav = wav[: odd_length(len(wav), ends)]
            level_db = rng.uniform(*LEVEL_DB)
            yield f"clean/{speaker}_{number + 1:03d}", _at_level(wav, level_db)


def _noises(arguments):
    kinds = list(TRAIN.kinds.items())
    length = round(arguments["max_seconds"] * noise.RATE)
    voices = _background(TRAIN, arguments)
    for number in range(arguments["noises"]):
        kind, make = kinds[number % len(kinds)]
        rng = talkers.named_rng(arguments["seed"], f"dns noise {number}")
        wav = make(length, voices, rng)[: odd_length(length, rng)]
        yield f"noise/{kind}_{number:03d}", _at_level(wav, LEVEL_DB[0])


def _tests(arguments):
    count, voices = arguments["test_utterances"], _background(TEST, arguments)
    for index, speaker in enumerate(TEST.speakers):
        places = range(index, count, len(TEST.speakers))
        utterances = spoken(TEST, speaker, len(places), arguments)
        for number, wav in zip(places, utterances, strict=True):
            rng = talkers.named_rng(arguments["seed"], f"dns test {number}")
            kind, snr_db = turn(TEST, number)
            sound = TEST.kinds[kind](len(wav), voices, rng)
            level_db = rng.uniform(*LEVEL_DB)
            end = odd_length(len(wav), rng)
            clean, noisy = mix(wav[:end], sound[:end], snr_db, level_db)
            name = f"{speaker}_{kind}_snr{snr_db}_fileid_{number}"
            yield f"{_TEST_FOLDER}/clean/clean_fileid_{number}", clean
            yield f"{_TEST_FOLDER}/noisy/{name}", noisy


def _background(split, arguments):
    return list(
        talkers.background(split.background, split.name, arguments["seed"])
    )


def _at_level(wav, level_db):
    wav = wav / np.sqrt(np.mean(np.square(wav))) * 10 ** (level_db / 20)
    return wav * min(1, PEAK / np.abs(wav).max())
