"""Prepares the data of the DNS Challenge (Interspeech 2020) at 16 kHz.

Data: C. K. A. Reddy et al., "The INTERSPEECH 2020 Deep Noise Suppression
Challenge: Datasets, Subjective Testing Framework, and Challenge Results",
arXiv 2005.13981, https://github.com/microsoft/DNS-Challenge
"""

import dataclasses
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from speechbrain_dfkd.data.audio import Scan
from speechbrain_dfkd.data.manifest import (
    Preparation,
    fingerprint,
    open_tables,
    refuse_prepared_within,
    write_json,
    write_manifest,
)
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.mixtures import MixtureSource, write_fixed_mixtures
from speechbrain_dfkd.data.pairs import (
    Pair,
    by_id,
    recordings_below,
    scan_pairs,
)
from speechbrain_dfkd.data.recordings import write_recordings
from speechbrain_dfkd.errors import (
    Faults,
    UserError,
    check_setting,
    is_number,
    listing,
)
from speechbrain_dfkd.files import stable_hash

logger = logging.getLogger(__name__)

TEST_SETS = ("no_reverb", "with_reverb")
TEST_FOLDER = "test_set/synthetic"
# What in the name of a recording names its group.
GROUPS = {
    # The reader, in the DNS Challenge and in LibriVox, LibriSpeech, VCTK.
    "speech": [
        r"(reader_\d+)",
        r"(?:^|[/_])(\d+)-\d+-\d+$",
        r"(?:^|/)([ps]\d+)_\d+(?:_mic\d)?$",
    ],
    # The recording that several were cut from, in Freesound and in ESC-50.
    "noise": [r"(Freesound\w*?_\d+)", r"(\d-\d+)-[A-Z](?:-\d+)?$"],
    # The room, in SLR28.
    "impulse_responses": [r"((?:small|medium|large)room/Room\d+)"],
}
# The folders of what is mixed, and the names of their tables.
MIXED = {
    "clean": "speech",
    "noise": "noise",
    "impulse_responses": "impulse_responses",
}


def prepare_dns(
    data_folder: str | Path,
    prepared_folder: str | Path,
    train_annotation: str | Path,
    valid_annotation: str | Path,
    test_annotation: str | Path,
    sample_rate: int,
    mixer: Mixer,
    valid_share: float,
    valid_mixtures: int,
    valid_seconds: float,
    n_jobs: int | None = None,
    valid_groups: dict | None = None,
    shard: tuple[int, int] | None = None,
) -> None:
    """Check the corpus, resample what needs it, and write the manifests.

    A second call returns at once; one that was interrupted goes on where it
    stopped, and after a change of the corpus only what is new is read.
    Nothing but ``prepared_folder`` and the manifests is written.

    Arguments
    ---------
    data_folder : str
        Holds ``clean`` and ``noise``, optionally ``impulse_responses``, or
        instead of ``noise`` synthesised ``noisy`` recordings that a fileid at
        the end of their names joins with ``clean``; and
        ``test_set/synthetic/{no_reverb,with_reverb}/{clean,noisy}``, one of
        them or both. Of any format that soundfile reads, also in sub-folders.
    prepared_folder : str
        Where tables, fixed mixtures and resampled recordings go.
    train_annotation, valid_annotation, test_annotation : str
        The manifests to write. The first names the tables to mix from.
    sample_rate : int
        In Hz. Recordings at this rate are used in place.
    mixer : Mixer
        Makes the validation set.
    valid_share : float
        How many of the groups of recordings (below) are held out for
        validation, by a hash of their names: adding files moves none.
    valid_mixtures : int
        How many are made of these.
    valid_seconds : float
        Length of each.
    n_jobs : int, optional
        Worker processes; by default one for each processor.
    valid_groups : dict, optional
        What in its name says which reader or recording a file is of, in place
        of entries of ``GROUPS``. Synthesised pairs are grouped by
        their speech, from the name of the noisy side.
    shard : tuple of int, optional
        (i, n): only check and resample the i-th of n shares of the recordings.
    """
    root = Path(str(data_folder)).expanduser().resolve()
    folder = Path(prepared_folder).expanduser().resolve()
    groups = {**GROUPS, **(valid_groups or {})}
    valid = _Valid(valid_share, valid_mixtures, valid_seconds, groups)
    valid.check()
    train, tests = _list_training(root, folder), _list_tests(root)
    paired = "noisy" in train
    files = train | _by_folder(tests)
    preparation = Preparation(
        folder,
        [train_annotation, valid_annotation, test_annotation],
        {
            "data_folder": str(root),
            "sample_rate": sample_rate,
            "mixer": json.loads(json.dumps(dataclasses.asdict(mixer))),
            "valid": [*valid],
            "files": {
                name: fingerprint(paths, root) for name, paths in files.items()
            },
        },
    )
    if preparation.is_done():
        logger.info("DNS is prepared already in %s", folder)
        return
    scan = Scan(root, folder / "recordings", sample_rate, n_jobs, shard)
    if shard:
        _check_mixed(scan, files)
        return
    with preparation:
        test, checked = _check(scan, train, tests)
        if paired:
            held_out = _split_pairs(
                scan, train, checked, valid, train_annotation
            )
        else:
            _write_tables(scan, train, checked, valid, train_annotation)
            held_out = _mix_valid(scan, mixer, valid)
        write_manifest(valid_annotation, held_out)
        _write_tests(test, test_annotation)
        scan.merge_logs()
    logger.info("DNS is prepared in %s", folder)


def group_of(name: str | Path, patterns: list[str]) -> str:
    """Return what the first pattern to match finds in a name, else the name."""
    name = PurePath(name)
    stem = name.with_suffix("").as_posix()
    matches = (re.search(pattern, stem) for pattern in patterns)
    return next((match[1] for match in matches if match), str(name))


def check_groups(groups: dict) -> None:
    """Refuse patterns that ``group_of`` cannot use."""
    is_whole, lists = groups.keys() == GROUPS.keys(), ", ".join(GROUPS)
    check_setting("valid_groups", groups, is_whole, f"lists for {lists}")
    constraint = "a list of regular expressions, each with one group (...)"
    for kind, patterns in groups.items():
        fits = isinstance(patterns, list) and all(map(_is_pattern, patterns))
        check_setting(f"valid_groups.{kind}", patterns, fits, constraint)


def _is_pattern(pattern: object) -> bool:
    try:
        return re.compile(pattern).groups == 1
    except (re.error, TypeError):
        return False


def hold_out(
    items: Iterable,
    groups: Iterable,
    share: float,
    what: str,
    optional: bool = False,
) -> tuple[list, list]:
    """Split ``items`` by a hash of their groups into kept and held out.

    Adding recordings moves none from one split to the other. What is
    ``optional`` serves both where there is too little of it to hold out any.
    """
    check_setting(
        "valid_share", share, is_number(share, 0, 1), "a share from 0 to 1"
    )
    groups, kept, held = list(groups), [], []
    held_groups = {g for g in groups if stable_hash(g) < share * 2**64}
    for item, group in zip(items, groups, strict=True):
        (held if group in held_groups else kept).append(item)
    counts = f"{len(kept)} train and {len(held)} validate"
    if not (kept and held):
        if optional:
            return items, items
        raise UserError(
            f"valid_share must leave and hold out some of the {what}, got "
            f"{share}, by which {counts}; pass another, e.g. --dataset "
            "'{valid_share: 0.2}'"
        )
    logger.info(
        f"Of the {what}, in {len({*groups})} groups, {counts} "
        f"({len(held_groups)} groups)"
    )
    return kept, held


def by_fileid(paths: Iterable[Path], prefix: str = "") -> dict[str, Path]:
    """Return recordings by a prefix and the fileid that ends their names."""

    def fileid_of(path: Path) -> str | None:
        match = re.search(r"fileid_\d+$", path.stem)
        return match and prefix + match[0]

    constraint = "end in fileid_<number>, each number once in a folder"
    return by_id(paths, fileid_of, "fileid", constraint)


class _Valid(NamedTuple):
    share: float
    mixtures: int
    seconds: float
    groups: dict

    def check(self):
        check_groups(self.groups)
        is_count = isinstance(self.mixtures, int) and self.mixtures > 0
        check_setting(
            "valid_mixtures", self.mixtures, is_count, "an integer above 0"
        )
        check_setting(
            "valid_seconds",
            self.seconds,
            is_number(self.seconds, 0.25),  # which PESQ needs
            "a number of at least 0.25",
        )


def _list_training(root, prepared_folder):
    """Return {folder: paths}; noisy stands for pairs synthesised before."""
    mixed = not (root / "noisy").is_dir()
    names = tuple(MIXED) if mixed else Pair._fields
    found = {name: recordings_below(root / name) for name in names}
    missing = [name for name in names[:2] if not found[name]]
    if missing:
        raise UserError(
            "data_folder must hold audio files in clean/ and noise/ (or "
            f"clean/ and noisy/ with synthesised pairs), got {root} without "
            f"any in\n{listing(missing)}\nrecipes/DNS/README.md says where to "
            "get them; pass --data_folder with the folder that holds these"
        )
    refuse_prepared_within([root / name for name in names], prepared_folder)
    return found


def _list_tests(root):
    """Return the Pair of {id: path} of each test set that is there."""
    tests = []
    for name in TEST_SETS:
        folder = root / TEST_FOLDER / name
        sides = [
            by_fileid(recordings_below(folder / side), f"{name}-")
            for side in Pair._fields
        ]
        tests += [Pair(*sides)] if any(sides) else []
    if not tests:
        raise UserError(
            f"data_folder must hold {TEST_FOLDER}/no_reverb/ (or with_reverb/) "
            f"with noisy/ and clean/, got {root} without; "
            "recipes/DNS/README.md says where to get it"
        )
    return tests


def _by_folder(tests):
    return {
        f"test {number} {side}": paths.values()
        for number, pair in enumerate(tests)
        for side, paths in pair._asdict().items()
    }


def _check(scan, train, tests):
    """Check all recordings; raise one error for what is wrong in any folder.

    Returns the pairs of each test set, and the training data: pairs by id, or
    ``{folder: list of WavFile}``.
    """
    faults, test, checked = Faults(), None, None
    with faults.kept():
        test = scan_pairs(scan, tests)
    if "noisy" in train:
        with faults.kept():
            sides = Pair(*(by_fileid(train[side]) for side in Pair._fields))
            (checked,) = scan_pairs(scan, [sides])
    else:
        with faults.kept():
            checked = _check_mixed(scan, train)
    faults.raise_if_any()
    return test, checked


def _check_mixed(scan, folders):
    """Return {folder: list of WavFile} of its paths; raise one error of all."""
    faults, checked = Faults(), {}
    for name, paths in folders.items():
        # Of a response any rate and the first channel will do.
        mono = name != "impulse_responses"
        with faults.kept():
            checked[name] = scan.recordings([*paths], mono)
    faults.raise_if_any()
    return checked


def _split_pairs(scan, train, pairs, valid, train_annotation):
    noisy = by_fileid(train["noisy"])
    paths = [noisy[name] for name in pairs]
    groups = _groups(scan, paths, valid.groups["speech"])
    kept, held = hold_out(pairs.items(), groups, valid.share, "pairs")
    write_manifest(train_annotation, dict(kept))
    return dict(held)


def _groups(scan, paths, patterns):
    return [group_of(path.relative_to(scan.root), patterns) for path in paths]


def _write_tables(scan, train, checked, valid, train_annotation):
    """Write the tables of both splits, and the manifests that name them."""
    tables = {"train": {}, "valid": {}}
    for folder, table in MIXED.items():
        optional = folder == "impulse_responses"
        groups = _groups(scan, train[folder], valid.groups[table])
        what = f"files in {folder}/"
        splits = hold_out(checked[folder], groups, valid.share, what, optional)
        for split, kept in zip(tables, splits, strict=True):
            path = scan.cache.parent / f"{split}_{table}.npy"
            tables[split][table] = str(path) if kept else None
            if kept:
                write_recordings(path, kept)
    write_json(scan.cache.parent / "valid_tables.json", tables["valid"])
    write_json(train_annotation, tables["train"])


def _mix_valid(scan, mixer, valid):
    rate = scan.sample_rate
    tables = open_tables(scan.cache.parent / "valid_tables.json").values()
    source = MixtureSource(*tables, mixer, round(valid.seconds * rate), rate)
    folder = scan.cache.parent / "valid_mixtures"
    return write_fixed_mixtures(source, valid.mixtures, folder, scan.n_jobs)


def _write_tests(tests, test_annotation):
    pairs = {name: pair for split in tests for name, pair in split.items()}
    test_set_of = {name: name.split("-")[0] for name in pairs}
    write_manifest(test_annotation, pairs, test_set_of)
