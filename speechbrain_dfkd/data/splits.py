"""Prepares and opens the data that a leaf names."""

from speechbrain.utils.distributed import run_on_main

from speechbrain_dfkd.data.dataset import make_datasets
from speechbrain_dfkd.folder_lock import hold_if_writable


def prepare_splits(hparams: dict) -> None:
    """Make the manifests, and the demo corpus where there is no other.

    Of several commands that share a ``prepared_folder`` one does so; the others
    wait and find it done.

    Arguments
    ---------
    hparams : dict
        Objects of a leaf; with ``skip_prep`` nothing is done.
    """
    if hparams["skip_prep"]:
        return
    dataset = hparams["dataset"]
    keys = ["data_folder", "prepared_folder", "train_annotation"]
    keys += ["valid_annotation", "test_annotation", "sample_rate"]
    with hold_if_writable(hparams["prepared_folder"]):
        if dataset["demo_corpus"] is not None:
            run_on_main(dataset["demo_corpus"], args=[hparams["data_folder"]])
        run_on_main(
            dataset["prepare"], kwargs={key: hparams[key] for key in keys}
        )


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
    """
    return make_datasets(
        hparams["train_annotation"],
        hparams["valid_annotation"],
        hparams["test_annotation"],
        segment_seconds=hparams["segment_seconds"],
        sample_rate=hparams["sample_rate"],
        seed=hparams["seed"],
        epoch_counter=hparams["epoch_counter"],
        make_train=hparams["dataset"]["make_train"],
    )
