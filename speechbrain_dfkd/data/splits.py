"""Prepares and opens the data that a leaf names."""

from pathlib import Path

from speechbrain.utils.distributed import run_on_main

from speechbrain_dfkd.data.dataset import make_datasets
from speechbrain_dfkd.data.manifest import check_manifest
from speechbrain_dfkd.errors import Faults, UserError, whole_lists_in
from speechbrain_dfkd.evaluation.metrics import PESQ_MIN_SECONDS
from speechbrain_dfkd.folder_lock import hold_if_writable

REFUSED = "refused_files.txt"


def prepare_splits(hparams: dict) -> None:
    """Make the manifests, and the demo corpus where there is no other.

    A list of files that is too long for an error goes to ``prepared_folder``.
    Of several commands that share a ``prepared_folder`` one does so; the others
    wait and find it done.

    Arguments
    ---------
    hparams : dict
        Objects of a leaf; with ``skip_prep`` its manifests are checked.
    """
    with hold_if_writable(hparams["prepared_folder"]):
        run_on_main(_prepare, args=[hparams])


def _prepare(hparams):
    folder = Path(hparams["prepared_folder"]).expanduser()
    with whole_lists_in(folder / REFUSED):
        if hparams["skip_prep"]:
            _check_manifests(hparams)
            return
        dataset = hparams["dataset"]
        if dataset["demo_corpus"] is not None:
            dataset["demo_corpus"](hparams["data_folder"])
        keys = ["data_folder", "prepared_folder", "train_annotation"]
        keys += ["valid_annotation", "test_annotation", "sample_rate"]
        dataset["prepare"](**{key: hparams[key] for key in keys})


def _check_manifests(hparams):
    faults = Faults()
    for split in ("train", "valid", "test"):
        # Where a training tolerates files that are gone, it replaces them.
        tolerates = "max_unreadable_share" in hparams["dataset"]
        if split != "train" or not tolerates:
            with faults.kept():
                path = hparams[f"{split}_annotation"]
                check_manifest(path, hparams["sample_rate"])
    faults.raise_if_any()


def open_splits(hparams: dict) -> dict:
    """Return the data sets of a leaf's manifests.

    Arguments
    ---------
    hparams : dict
        Objects of a leaf.

    Returns
    -------
    dict
        ``"train"``, ``"valid"`` and ``"test"``; see ``make_datasets``.

    Raises
    ------
    UserError
        If validation could choose no epoch; and what ``make_datasets`` raises.
    """
    datasets = make_datasets(
        hparams["train_annotation"],
        hparams["valid_annotation"],
        hparams["test_annotation"],
        segment_seconds=hparams["segment_seconds"],
        sample_rate=hparams["sample_rate"],
        seed=hparams["seed"],
        epoch_counter=hparams["epoch_counter"],
        make_train=hparams["dataset"]["make_train"],
    )
    _refuse_short_validation(hparams, datasets["valid"])
    return datasets


def _refuse_short_validation(hparams, valid):
    longest = max(entry["length"] for entry in valid.data.values())
    if hparams["best_metric"] == "pesq_wb" and longest < PESQ_MIN_SECONDS:
        raise UserError(
            f"{hparams['valid_annotation']} must list a recording of at least "
            f"{PESQ_MIN_SECONDS} s, which PESQ needs, got {longest:g} s at most; "
            "hold out longer ones, or pass --best_metric si_sdr"
        )
