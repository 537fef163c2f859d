"""Noisy recordings and their clean twins."""

import logging
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from joblib import Parallel, cpu_count, delayed

from speechbrain_dfkd.data.audio import (
    BadAudio,
    CorpusScan,
    cache_wavs,
    raise_if_bad,
    read_headers,
)
from speechbrain_dfkd.data.audio_files import cache_name
from speechbrain_dfkd.errors import Faults, UserError, listing

logger = logging.getLogger(__name__)

# Different recordings mostly differ in their first block: no more is read.
_BLOCK = 16000


def refuse_identical(pairs: dict, n_jobs: int | None = None):
    """Refuse a split in which no pair has noise; warn of pairs that have none.

    There is nothing to learn from such a split, nor to test on it; it comes
    of a clean folder that was unpacked twice.

    Arguments
    ---------
    pairs : dict
        ``{id: Pair}`` of checked ``audio_check.WavFile``, at one rate.
    n_jobs : int, optional
        Worker processes; by default one for each processor.

    Raises
    ------
    UserError
        If all pairs are identical, sample for sample.
    """
    same = Parallel(n_jobs=n_jobs or cpu_count())(
        delayed(_is_identical)(pair) for pair in pairs.values()
    )
    found = [
        str(pair.noisy.path)
        for pair, is_same in zip(pairs.values(), same, strict=True)
        if is_same
    ]
    if found and len(found) == len(pairs):
        raise UserError(
            "data_folder must hold noisy recordings beside the clean ones, got "
            f"{len(found)} equal to their clean twins, all of a split:\n"
            f"{listing(found)}\nunpack the noisy archive again"
        )
    if found:
        logger.warning(
            "%d of %d noisy recordings are equal to their clean twins:\n%s",
            len(found),
            len(pairs),
            listing(found),
        )


def _is_identical(pair):
    with (
        soundfile.SoundFile(pair.noisy.path) as noisy,
        soundfile.SoundFile(pair.clean.path) as clean,
    ):
        blocks = (
            file.blocks(_BLOCK, dtype="float32") for file in (noisy, clean)
        )
        return all(map(np.array_equal, *blocks))


_FILEID = re.compile(r"fileid_(\d+)$")


class Pair(NamedTuple):
    """The noisy and the clean side of one utterance, both of one type."""

    noisy: object
    clean: object


def by_fileid(paths, prefix: str = ""):
    """Return ``{id: path}`` by the fileid at the end of each file's name.

    The DNS Challenge's synthesizer joins noisy and clean files so.

    Arguments
    ---------
    paths : list of Path
        One side of a split.
    prefix : str
        Put in front of ids, to tell splits apart.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        Names the files without a fileid, or with that of another.

    Example
    -------
    >>> by_fileid([Path("noisy/book_1_snr3_fileid_12.wav")], "no_reverb-")
    {'no_reverb-fileid_12': PosixPath('noisy/book_1_snr3_fileid_12.wav')}
    """
    found, problems = {}, []
    for path in paths:
        match = _FILEID.search(path.stem)
        name = match and f"{prefix}fileid_{match[1]}"
        if name is None:
            problems.append(f"{path} has no fileid")
        elif name in found:
            problems.append(f"{path} has the fileid of {found[name]}")
        else:
            found[name] = path
    if problems:
        raise UserError(
            "noisy and clean recordings must end in fileid_<number>, each "
            f"number once in a folder, got {len(problems)} others:\n"
            f"{listing(problems)}\nrename or remove these files"
        )
    return found


def match_pairs(splits):
    """Join the noisy and clean recordings of every split by their ids.

    Arguments
    ---------
    splits : list of (dict, dict)
        For each split ``{id: path}`` of the noisy and of the clean side.

    Returns
    -------
    list of dict
        ``{id: Pair}`` for each split, sorted by id.

    Raises
    ------
    UserError
        Names all recordings of all splits that have no twin.

    Example
    -------
    >>> match_pairs([({"a": "noisy/a.wav"}, {"a": "clean/a.wav"})])
    [{'a': Pair(noisy='noisy/a.wav', clean='clean/a.wav')}]
    """
    alone = [
        f"{side[name]} has no {twin} twin"
        for noisy, clean in splits
        for side, other, twin in (
            (noisy, clean, "clean"),
            (clean, noisy, "noisy"),
        )
        for name in sorted(side.keys() - other.keys())
    ]
    if alone:
        raise UserError(
            "data_folder must hold a clean and a noisy file of every "
            "utterance, of one name up to the suffix, got "
            f"{len(alone)} without a twin:\n{listing(alone)}\n"
            "Unpack the archives again, or remove these files"
        )
    return _joined(splits)


def _joined(splits):
    return [
        {
            name: Pair(noisy[name], clean[name])
            for name in sorted(noisy.keys() & clean.keys())
        }
        for noisy, clean in splits
    ]


def check_pairs(pairs):
    """Raise a ``UserError`` unless the twins match in rate and length.

    Arguments
    ---------
    pairs : dict
        ``{id: Pair}`` of ``audio_check.WavFile`` of one split.
    """
    rates = Counter(wav.sample_rate for pair in pairs.values() for wav in pair)
    usual = max(rates, key=rates.get, default=None)
    faults = Faults()
    with faults.kept():
        _refuse(
            [
                f"{wav.path} has {wav.sample_rate} Hz"
                for pair in pairs.values()
                for wav in pair
                if wav.sample_rate != usual
            ],
            f"one sample rate in a split, here {usual} Hz",
            "Resample these files",
        )
    with faults.kept():
        _refuse(
            [
                f"{name}: noisy {pair.noisy.frames}, clean {pair.clean.frames}"
                for name, pair in pairs.items()
                if pair.noisy.frames != pair.clean.frames
            ],
            "noisy and clean files of the same length in samples",
            "Unpack the archives again, or remove both files of these "
            "utterances (mp3 and other lossy encoders add samples: encode "
            "both sides alike, or keep wav or FLAC)",
        )
    faults.raise_if_any()


def _refuse(lines, constraint, remedy):
    if lines:
        raise UserError(
            f"data_folder must hold {constraint}, got {len(lines)} that "
            f"differ:\n{listing(lines)}\n{remedy}"
        )


def cache_pairs(
    splits,
    folder: Path,
    sample_rate: int,
    name_of: Callable,
    n_jobs: int | None = None,
):
    """Check all recordings of all splits and resample those that need it.

    Arguments
    ---------
    splits : list of Pair
        ``{id: path}`` of the noisy and of the clean side of each split.
    folder : Path
        Gets the resampled copies.
    sample_rate : int
        In Hz.
    name_of : callable
        Gives the name within ``folder`` of the copy of a path.
    n_jobs : int, optional
        Worker processes; by default one for each processor.

    Returns
    -------
    list of dict
        ``{id: Pair}`` of ``audio_check.WavFile`` for each split.

    Raises
    ------
    UserError
        Names the recordings that cannot be used, over all splits; or all
        pairs of a split are identical.
    """
    pairs = _joined(splits)
    paths = [p for split in pairs for pair in split.values() for p in pair]
    wavs = read_headers(paths, sample_rate)
    _refuse_unfit(splits, _replaced(pairs, paths, wavs))
    targets = [folder / name_of(path) for path in paths]
    cached = cache_wavs(wavs, targets, sample_rate, folder, n_jobs)
    checked = _replaced(pairs, paths, cached)
    for split in checked:
        refuse_identical(split, n_jobs)
    return checked


def _refuse_unfit(splits, found):
    """Raise one error for all that names and headers tell."""
    faults = Faults()
    with faults.kept():
        match_pairs(splits)
    wavs = [wav for pairs in found for pair in pairs.values() for wav in pair]
    with faults.kept():
        raise_if_bad([bad for bad in wavs if isinstance(bad, BadAudio)])
    for pairs in found:
        with faults.kept():
            check_pairs(
                {
                    name: pair
                    for name, pair in pairs.items()
                    if not any(isinstance(wav, BadAudio) for wav in pair)
                }
            )
    faults.raise_if_any()


def _replaced(splits, paths, wavs):
    wav_of = dict(zip(paths, wavs, strict=True))
    return [
        {
            name: Pair(wav_of[noisy], wav_of[clean])
            for name, (noisy, clean) in pairs.items()
        }
        for pairs in splits
    ]


def scanned_pairs(corpus: CorpusScan, splits: list) -> list:
    """Return ``{id: Pair}`` to train on of each split.

    Arguments
    ---------
    corpus : CorpusScan
        Checks and resamples.
    splits : list of Pair
        ``{id: path}`` of the noisy and of the clean side.
    """
    return cache_pairs(
        splits,
        corpus.cache,
        corpus.sample_rate,
        lambda path: cache_name(path, corpus.root),
        corpus.n_jobs,
    )
