"""The demo corpus in the folders of DNS2020: speech and noise apart."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from speechbrain_dfkd.data.demo_corpus import noise, voices
from speechbrain_dfkd.data.demo_corpus.corpus import (
    LEVEL_DB,
    PEAK,
    TEST,
    TRAIN,
    check_arguments,
    mix,
    odd_length,
    spoken,
    turn,
    write_wav,
)
from speechbrain_dfkd.data.demo_corpus.folder import already_made, building

# Raised with every change to what the same arguments produce.
_VERSION = 2
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
        "version": _VERSION,
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
        rng = voices.named_rng(arguments["seed"], f"dns level {speaker}")
        ends = voices.named_rng(arguments["seed"], f"dns end {speaker}")
        utterances = spoken(TRAIN, speaker, share, arguments)
        for number, wav in enumerate(utterances):
            wav = wav[: odd_length(len(wav), ends)]
            level_db = rng.uniform(*LEVEL_DB)
            yield f"clean/{speaker}_{number + 1:03d}", _at_level(wav, level_db)


def _noises(arguments):
    kinds = list(TRAIN.kinds.items())
    length = round(arguments["max_seconds"] * noise.RATE)
    talkers = _background(TRAIN, arguments)
    for number in range(arguments["noises"]):
        kind, make = kinds[number % len(kinds)]
        rng = voices.named_rng(arguments["seed"], f"dns noise {number}")
        wav = make(length, talkers, rng)[: odd_length(length, rng)]
        yield f"noise/{kind}_{number:03d}", _at_level(wav, LEVEL_DB[0])


def _tests(arguments):
    count, talkers = arguments["test_utterances"], _background(TEST, arguments)
    for index, speaker in enumerate(TEST.speakers):
        places = range(index, count, len(TEST.speakers))
        utterances = spoken(TEST, speaker, len(places), arguments)
        for number, wav in zip(places, utterances, strict=True):
            rng = voices.named_rng(arguments["seed"], f"dns test {number}")
            kind, snr_db = turn(TEST, number)
            sound = TEST.kinds[kind](len(wav), talkers, rng)
            level_db = rng.uniform(*LEVEL_DB)
            end = odd_length(len(wav), rng)
            clean, noisy = mix(wav[:end], sound[:end], snr_db, level_db)
            name = f"{speaker}_{kind}_snr{snr_db}_fileid_{number}"
            yield f"{_TEST_FOLDER}/clean/clean_fileid_{number}", clean
            yield f"{_TEST_FOLDER}/noisy/{name}", noisy


def _background(split, arguments):
    return list(
        voices.background(split.background, split.name, arguments["seed"])
    )


def _at_level(wav, level_db):
    wav = wav / np.sqrt(np.mean(np.square(wav))) * 10 ** (level_db / 20)
    return wav * min(1, PEAK / np.abs(wav).max())
