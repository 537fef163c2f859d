"""Every leaf trains on either data set, and two families make a pair."""

import json

import pytest
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import (
    DFKD,
    MIXTURES,
    ROOT,
    dfkd_options,
    finish,
    teacher_options,
)

from speechbrain_dfkd.evaluation.complexity import count_parameters

pytestmark = pytest.mark.slow

# leaf: (student, teacher), the smallest that there are
PAIRS = {
    "within Conv-TasNet": (
        "convtasnet",
        "conv_tasnet_tiny",
        "conv_tasnet_tiny",
    ),
    "within DPTNet": ("dptnet", "dptnet_tiny", "dptnet_tiny"),
    "DPTNet teaches Conv-TasNet": (
        "convtasnet",
        "conv_tasnet_tiny",
        "dptnet_tiny",
    ),
    "Conv-TasNet teaches DCCRN": (
        "dccrn",
        "dccrn_eighth",
        "conv_tasnet_tiny",
    ),
}


@pytest.mark.parametrize("leaf, student, teacher", PAIRS.values(), ids=PAIRS)
def test_leaf_distils_at_the_smallest_scale(
    leaf, student, teacher, corpus, tmp_path
):
    networks = {"student": student, "teacher": teacher}
    chosen = {
        key: f"!include:models/{name}.yaml" for key, name in networks.items()
    }
    options = dfkd_options(corpus, tmp_path, number_of_epochs=1, **chosen)
    finish([DFKD[0], f"hparams/{leaf}_dfkd.yaml"], options)
    # Each in the folder of its family's own training.
    (trained,) = (tmp_path / "teachers").iterdir()
    assert trained.name == f"{teacher}-seed_1234"
    (path,) = tmp_path.glob(f"{student}-from-{teacher}/*/results.json")
    rows = {row["system"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["noisy", "teacher", "student"]
    # It is these networks that were tested.
    for system, network in networks.items():
        with (ROOT / f"hparams/models/{network}.yaml").open() as file:
            model = load_hyperpyyaml(file)["model"]
        assert rows[system]["parameters"] == count_parameters(model)


@pytest.mark.parametrize(
    ("family", "network"),
    [
        ("dccrn", "dccrn_eighth"),
        ("convtasnet", "conv_tasnet_tiny"),
        ("dptnet", "dptnet_tiny"),
    ],
)
def test_both_scripts_train_on_dns(family, network, dns_corpus, tmp_path):
    chosen = f"!include:models/{network}.yaml"
    options = {"number_of_epochs": 1, "dataset": MIXTURES, "teacher": chosen}
    finish(
        ["recipes/DNS/train_teacher.py", f"hparams/{family}_teacher.yaml"],
        teacher_options(dns_corpus, tmp_path, **options),
    )
    stdout = finish(
        ["recipes/DNS/train_dfkd.py", f"hparams/{family}_dfkd.yaml"],
        dfkd_options(dns_corpus, tmp_path, **options, student=chosen),
    )
    assert "Teacher found" in stdout
    (path,) = tmp_path.glob(f"{network}-from-{network}/*/results.json")
    rows = {row["system"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["noisy", "teacher", "student"]
    for row in rows.values():
        assert row["test_set"] == "no_reverb" and row["utterances"] == 2
        assert 1 <= row["pesq_wb"] <= 4.65 and 1 <= row["pesq_nb"] <= 4.65
        assert 0 < row["stoi"] <= 1 and abs(row["si_sdr"]) < 50
