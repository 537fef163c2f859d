"""Prepares VoiceBank+DEMAND for speech enhancement at 16 kHz.

Data: C. Valentini-Botinhao, "Noisy speech database for training speech
enhancement algorithms and TTS models", University of Edinburgh, 2017,
https://doi.org/10.7488/ds/2117
"""

import logging
from pathlib import Path

from speechbrain_dfkd.data.manifest import write_manifest
from speechbrain_dfkd.data.pairs import (
    Pair,
    cache_pairs,
    match_pairs,
    wavs_by_id,
)
from speechbrain_dfkd.data.preparation import Preparation, fingerprint
from speechbrain_dfkd.errors import UserError, listing

logger = logging.getLogger(__name__)

SPLITS = ("trainset_28spk", "testset")
SOURCE = "https://datashare.ed.ac.uk/handle/10283/2791"


def prepare_voicebank(
    data_folder,
    prepared_folder,
    train_annotation,
    valid_annotation,
    test_annotation,
    sample_rate=16000,
    valid_speakers=("p226", "p287"),
    n_jobs=None,
):
    """Check the corpus, resample it once, and write the three manifests.

    A second call returns at once; one that was interrupted goes on where it
    stopped. Nothing but ``prepared_folder`` and the manifests is written.

    Arguments
    ---------
    data_folder : str
        Holds the unpacked official folders ``clean_trainset_28spk_wav``,
        ``noisy_trainset_28spk_wav``, ``clean_testset_wav`` and
        ``noisy_testset_wav`` (48 kHz), or SpeechBrain's copies of them at 16
        kHz with ``_16k`` at the end of the names; one level down is fine.
    prepared_folder : str
        Where resampled recordings and ``prepared.json`` go.
    train_annotation, valid_annotation, test_annotation : str
        The manifests to write.
    sample_rate : int
        In Hz. Recordings at this rate are used in place.
    valid_speakers : list of str
        Training speakers held out for validation.
    n_jobs : int, optional
        Worker processes; by default one for each processor.

    Raises
    ------
    UserError
        Says what is wrong with the data and what to do; no manifest is
        written then.
    """
    data_folder = Path(data_folder).expanduser().resolve()
    prepared_folder = Path(prepared_folder).expanduser().resolve()
    _refuse_same_folder(data_folder, prepared_folder)
    manifests = (train_annotation, valid_annotation, test_annotation)
    sides = _list_recordings(data_folder, prepared_folder, sample_rate)
    source = {
        "data_folder": str(data_folder),
        "sample_rate": sample_rate,
        "valid_speakers": sorted(valid_speakers),
        "files": [
            fingerprint(side.values()) for split in sides for side in split
        ],
    }
    preparation = Preparation(prepared_folder, manifests, source)
    if preparation.is_done():
        logger.info("VoiceBank is prepared already in %s", prepared_folder)
        return
    splits = match_pairs(sides)
    _check_speakers(splits[0], valid_speakers)
    with preparation:
        train, test = cache_pairs(splits, prepared_folder, sample_rate, n_jobs)
        train, valid = _hold_out(train, valid_speakers)
        for path, pairs in zip(manifests, (train, valid, test), strict=True):
            write_manifest(path, pairs)
    logger.info("VoiceBank is prepared in %s", prepared_folder)


def _refuse_same_folder(data_folder, prepared_folder):
    # Half a cache beside the corpus would be taken for the corpus.
    if data_folder == prepared_folder:
        raise UserError(
            "prepared_folder must be another folder than data_folder, got "
            f"{data_folder} for both; pass another --results_folder"
        )


def _list_recordings(data_folder, prepared_folder, sample_rate):
    """Return the Pair of {id: path} of each split, or name what is missing."""
    ready = f"_{sample_rate / 1000:g}k"
    splits = [
        # Recordings that are at sample_rate already are taken first.
        _list_split(data_folder, split, (ready, ""), prepared_folder)
        for split in SPLITS
    ]
    missing = [
        f"{side}_{split}_wav"
        for split, pair in zip(SPLITS, splits, strict=True)
        for side, wavs in pair._asdict().items()
        if not wavs
    ]
    if missing:
        raise UserError(
            "data_folder must hold the four folders of VoiceBank+DEMAND, got "
            f"{data_folder} without wav files in\n{listing(missing)}\n"
            f"Download the archives from {SOURCE}, unpack them there, and "
            "pass --data_folder"
        )
    return splits


def _list_split(data_folder, split, suffixes, excluded):
    found = [
        Pair(
            *(
                _find_wavs(data_folder, f"{side}_{split}_wav{suffix}", excluded)
                for side in Pair._fields
            )
        )
        for suffix in suffixes
    ]
    whole = [pair for pair in found if pair.noisy and pair.clean]
    either = Pair(*(first or last for first, last in zip(*found, strict=True)))
    return whole[0] if whole else either


def _find_wavs(data_folder, name, excluded):
    for folder in (data_folder / name, *sorted(data_folder.glob(f"*/{name}"))):
        if folder.is_dir() and folder.parent != excluded:
            if wavs := wavs_by_id(folder):
                return wavs
    return {}


def _speaker(utterance_id):
    return utterance_id.split("_")[0]


def _check_speakers(train, valid_speakers):
    speakers = sorted({_speaker(name) for name in train})
    unknown = sorted(set(valid_speakers) - set(speakers))
    if not valid_speakers or unknown:
        raise UserError(
            "valid_speakers must name speakers of the training split "
            f"({', '.join(speakers)}), got {list(valid_speakers)}; put it "
            "right, or unpack the whole training archive"
        )
    if set(valid_speakers) == set(speakers):
        raise UserError(
            "valid_speakers must leave a speaker to train on, got all "
            f"{len(speakers)} of the training split; name fewer"
        )


def _hold_out(train, valid_speakers):
    """Split the pairs of the training archive into train and valid."""
    held_out = {name for name in train if _speaker(name) in valid_speakers}
    return (
        {name: train[name] for name in train if name not in held_out},
        {name: train[name] for name in train if name in held_out},
    )
