"""Prepares VoiceBank+DEMAND, or own folders of pairs, at 16 kHz.

Data: C. Valentini-Botinhao, "Noisy speech database for training speech
enhancement algorithms and TTS models", University of Edinburgh, 2017,
https://doi.org/10.7488/ds/2117
"""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speechbrain_dfkd.data.audio import Scan
from speechbrain_dfkd.data.manifest import (
    Preparation,
    fingerprint,
    refuse_prepared_within,
    write_manifest,
)
from speechbrain_dfkd.data.pairs import (
    Pair,
    by_name,
    find_plain,
    has_recordings,
    recordings_below,
    scan_pairs,
    speaker_of,
)
from speechbrain_dfkd.errors import UserError, check_setting, is_number, listing
from speechbrain_dfkd.files import stable_hash

logger = logging.getLogger(__name__)

_TRAIN_SETS = ("trainset_28spk", "trainset_56spk")
_SPLITS = ("train", "valid", "test")
_SOURCE = "https://datashare.ed.ac.uk/handle/10283/2791"
# Copies of the archives in another format drop or change the ending.
_KINDS = ("_wav", "", "_flac")


def prepare_voicebank(
    data_folder: str | Path,
    prepared_folder: str | Path,
    train_annotation: str | Path,
    valid_annotation: str | Path,
    test_annotation: str | Path,
    sample_rate: int = 16000,
    valid_speakers: Sequence = ("p226", "p287"),
    valid_share: float = 0.1,
    test_share: float = 0.1,
    n_jobs: int | None = None,
    shard: tuple[int, int] | None = None,
) -> None:
    """Check the corpus, resample it once, and write the three manifests.

    A second call returns at once; one that was interrupted goes on where it
    stopped. Nothing but ``prepared_folder`` and the manifests is written.

    Arguments
    ---------
    data_folder : str
        Holds the unpacked official folders ``clean_trainset_28spk_wav``,
        ``noisy_trainset_28spk_wav``, ``clean_testset_wav`` and
        ``noisy_testset_wav`` (48 kHz), or SpeechBrain's copies of them at 16
        kHz with ``_16k`` at the end of the names; one level down is fine, and
        so is 56spk for 28spk. Or any pairs in ``clean`` and ``noisy``, see
        ``pairs.find_plain``.
    prepared_folder : str
        Where ``prepared.json`` and, in ``recordings``, resampled copies go.
    train_annotation, valid_annotation, test_annotation : str
        The manifests to write.
    sample_rate : int
        In Hz. Recordings at this rate are used in place.
    valid_speakers : list of str
        Training speakers of VoiceBank held out for validation.
    valid_share, test_share : float
        How much of plain folders is held out where they have no such split.
    n_jobs : int, optional
        Worker processes; by default one for each processor.
    shard : tuple of int, optional
        (i, n): only check and resample the i-th of n shares of the recordings.
    """
    data_folder = Path(str(data_folder)).expanduser().resolve()
    prepared_folder = Path(prepared_folder).expanduser().resolve()
    _refuse_same_folder(data_folder, prepared_folder)
    corpus = _find_corpus(data_folder, prepared_folder, sample_rate)
    sides = _list_sides(corpus, prepared_folder)
    speakers = {
        name: speaker_of(path, corpus.folders["train"].clean)
        for name, path in sides["train"].clean.items()
    }
    if corpus.is_plain:
        rule = {"valid_share": valid_share, "test_share": test_share}
    else:
        rule = {"valid_speakers": _checked(valid_speakers, speakers)}
    source = {
        "data_folder": str(data_folder),
        "sample_rate": sample_rate,
        **rule,
        "files": {
            f"{split} {side}": fingerprint(files.values(), data_folder)
            for split, pair in sides.items()
            for side, files in pair._asdict().items()
        },
    }
    manifests = (train_annotation, valid_annotation, test_annotation)
    preparation = Preparation(prepared_folder, manifests, source)
    if preparation.is_done():
        logger.info("the data are prepared already in %s", prepared_folder)
        return
    copies = prepared_folder / "recordings"
    scan = Scan(data_folder, copies, sample_rate, n_jobs, shard)
    if shard:
        every_side = itertools.chain(*sides.values())
        scan.recordings([p for side in every_side for p in side.values()])
        return
    with preparation:
        found = scan_pairs(scan, list(sides.values()))
        pairs = dict(zip(sides, found, strict=True))
        splits = _split(pairs, corpus, speakers, rule)
        for path, split in zip(manifests, _SPLITS, strict=True):
            write_manifest(path, splits[split])
        scan.merge_logs()
    logger.info("the data are prepared in %s", prepared_folder)


class _Corpus(NamedTuple):
    """Where a Pair of folders of each split is, and whether these are plain."""

    root: Path
    folders: dict
    is_plain: bool


def _refuse_same_folder(data_folder, prepared_folder):
    # Half a cache beside the corpus would be taken for the corpus.
    if data_folder == prepared_folder:
        raise UserError(
            "prepared_folder must be another folder than data_folder, got "
            f"{data_folder} for both; pass another --results_folder"
        )


def _find_corpus(data_folder, prepared_folder, sample_rate):
    """Return the ``_Corpus``, or name the folders that are missing."""
    # Recordings that are at sample_rate already are taken first.
    rates = (f"_{sample_rate / 1000:g}k", "")
    names = (*_TRAIN_SETS, "testset")
    found = {
        name: _find_split(data_folder, name, rates, prepared_folder)
        for name in names
    }
    train_sets = [name for name in _TRAIN_SETS if any(found[name])]
    plain = find_plain(data_folder)
    if plain and not any(found["testset"]):
        return _Corpus(data_folder, plain, is_plain=True)
    if len(train_sets) > 1:
        logger.warning("%s is used, %s is left out", *train_sets)
    train_set = (train_sets or _TRAIN_SETS)[0]
    folders = {"train": found[train_set], "test": found["testset"]}
    missing = [
        f"{side}_{name}_wav"
        for name, pair in zip(
            (train_set, "testset"), folders.values(), strict=True
        )
        for side, folder in pair._asdict().items()
        if not folder
    ]
    if missing:
        raise UserError(
            "data_folder must hold the four folders of VoiceBank+DEMAND, or "
            f"your own pairs in clean/ and noisy/, got {data_folder} without "
            f"audio files in\n{listing(missing)}\n"
            f"Download the archives from {_SOURCE}, unpack them there, and "
            "pass --data_folder; recipes/VoiceBank/README.md tells of own data"
        )
    return _Corpus(data_folder, folders, is_plain=False)


def _find_split(data_folder, split, rates, excluded):
    found = [
        Pair(
            *(
                _find_folder(data_folder, f"{side}_{split}", rate, excluded)
                for side in Pair._fields
            )
        )
        for rate in rates
    ]
    whole = [pair for pair in found if all(pair)]
    either = Pair(*(first or last for first, last in zip(*found, strict=True)))
    return whole[0] if whole else either


def _find_folder(data_folder, stem, rate, excluded):
    for name in (f"{stem}{kind}{rate}" for kind in _KINDS):
        places = (data_folder / name / name, data_folder / name)
        for folder in (*places, *sorted(data_folder.glob(f"*/{name}"))):
            if folder.parent != excluded and has_recordings(folder):
                return folder
    return None


def _list_sides(corpus, prepared_folder):
    """Return ``{split: Pair of {id: path}}``."""
    sides = {}
    for split, folders in corpus.folders.items():
        refuse_prepared_within(folders, prepared_folder)
        sides[split] = Pair(
            *(by_name(recordings_below(folder), folder) for folder in folders)
        )
    return sides


def _checked(valid_speakers, speakers):
    """Return the names of speakers to hold out, as text, sorted."""
    if isinstance(valid_speakers, str | int | float | None):
        valid_speakers = [] if valid_speakers is None else [valid_speakers]
    # YAML reads a name such as 226 as a number.
    wanted = sorted(map(str, valid_speakers))
    known = sorted({*speakers.values()})
    if not wanted or not {*wanted} <= {*known}:
        raise UserError(
            "valid_speakers must name speakers of the training split "
            f"({', '.join(known)}), got {wanted}; pass e.g. --dataset "
            f"'{{valid_speakers: [\"{known[-1]}\"]}}', in quotes where a name "
            "is a number, or unpack the whole training archive"
        )
    if wanted == known:
        raise UserError(
            "valid_speakers must leave a speaker to train on, got all "
            f"{len(known)} of the training split; name fewer"
        )
    return wanted


def _split(pairs, corpus, speakers, rule):
    """Return ``{split: pairs}`` of all three splits."""
    if not corpus.is_plain:
        train, valid = {}, {}
        for name, pair in pairs["train"].items():
            is_held = speakers[name] in rule["valid_speakers"]
            (valid if is_held else train)[name] = pair
        return pairs | {"train": train, "valid": valid}
    shares = {
        split: rule[f"{split}_share"]
        for split in ("test", "valid")
        if split not in pairs
    }
    splits = pairs | hold_out_speakers(pairs["train"], speakers, shares)
    counts = ", ".join(f"{len(splits[name])} {name}" for name in _SPLITS)
    held = " and ".join(shares) or "nothing"
    print(f"Pairs of {corpus.root}: {counts}; held out: {held}", flush=True)
    return splits


def hold_out_speakers(
    pairs: dict, speakers: dict[str, str], shares: dict[str, float]
) -> dict[str, dict]:
    """Return ``{split: pairs}``: what is left is ``"train"``.

    Speakers are held out in the order of a hash until a split has its share;
    one with more than twice that is passed over. Where nobody is left, single
    recordings are held out.
    """
    for split, share in shares.items():
        is_share = is_number(share, 0, 1)
        check_setting(f"{split}_share", share, is_share, "a share from 0 to 1")
    each = {name: name for name in pairs}
    for who in ({name: speakers[name] for name in pairs}, each):
        split_of = _draw(who, shares)
        found = {split: {} for split in ("train", *shares)}
        for name, pair in pairs.items():
            found[split_of[who[name]]][name] = pair
        if all(found.values()):
            return found
    raise UserError(
        f"data_folder must hold enough pairs to hold out {shares}, got "
        f"{len(pairs)}; add some, or change these shares in --dataset"
    )


def _draw(who: dict[str, str], shares: dict[str, float]) -> dict[str, str]:
    sizes = Counter(who.values())
    split_of, speakers = {}, sorted(sizes, key=stable_hash)
    for split, share in shares.items():
        wanted, taken = share * len(who), 0
        for speaker in speakers:
            size = sizes[speaker]
            fits = taken + size <= max(2 * wanted, 1)
            if speaker not in split_of and taken < wanted and fits:
                split_of[speaker], taken = split, taken + size
    return dict.fromkeys(sizes, "train") | split_of
