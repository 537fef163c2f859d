"""Speaks, mixes and writes the demo corpus."""

import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from speechbrain_dfkd.data.demo_corpus import noise, voices
from speechbrain_dfkd.data.demo_corpus.folder import already_made, building
from speechbrain_dfkd.errors import UserError

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
    voices.TRAIN_SPEAKERS,
    voices.TRAIN_BACKGROUND,
    noise.TRAIN_KINDS,
)
TEST = Split(
    "test",
    "testset",
    voices.TEST_SPEAKERS,
    voices.TEST_BACKGROUND,
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
    background = list(voices.background(split.background, split.name, seed))
    log = []
    for index, speaker in enumerate(split.speakers):
        share = len(range(index, count, len(split.speakers)))
        speech = spoken(split, speaker, share, arguments)
        for number, wav in enumerate(speech):
            name = f"{speaker}_{number + 1:03d}"
            rng = voices.named_rng(seed, f"{split.name} {name}")
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
    talker = voices.Talker(
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
