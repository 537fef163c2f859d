"""Every leaf trains on either data set, and two families make a pair."""

import json

import pytest
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import (
    MIXTURES,
    ROOT,
    SHORT,
    dfkd_options,
    finish,
    teacher_options,
)

from speechbrain_dfkd.evaluation.complexity import count_parameters
from speechbrain_dfkd.experiment import train_dfkd, train_teacher

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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a folder for all pairs, in which two find their teacher."""
    return tmp_path_factory.mktemp("families")


@pytest.mark.slow
@pytest.mark.parametrize("leaf, student, teacher", PAIRS.values(), ids=PAIRS)
def test_leaf_distils_at_the_smallest_scale(
    leaf, student, teacher, succeed, corpus, results
):
    networks = {"student": student, "teacher": teacher}
    chosen = {
        key: f"!include:models/{name}.yaml" for key, name in networks.items()
    }
    before = set(results.glob("teachers/*"))
    # Each in the folder of its family's own training.
    trained = results / f"teachers/{teacher}-seed_1234"
    short = {"number_of_epochs": 1, "teacher_overrides": SHORT}
    options = dfkd_options(corpus, results, **short, **chosen)
    stdout = succeed(options, f"hparams/{leaf}_dfkd.yaml")
    found = "found:" if trained in before else "not found; training it into"
    assert f"Teacher {found} {trained}\n" in stdout
    assert set(results.glob("teachers/*")) == before | {trained}
    (path,) = results.glob(f"{student}-from-{teacher}/*/results.json")
    rows = {row["system"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["noisy", "teacher", "student"]
    # It is these networks that were tested.
    for system, network in networks.items():
        with (ROOT / f"hparams/models/{network}.yaml").open() as file:
            model = load_hyperpyyaml(file)["model"]
        assert rows[system]["parameters"] == count_parameters(model)


def as_a_user(script, leaf, arguments):
    """Run a script of the DNS recipe as a process of its own."""
    return finish([f"recipes/DNS/{script.__name__}.py", leaf], arguments)


@pytest.fixture
def within(succeed):
    """Run the same as a script does, but within this process."""

    def within(script, leaf, arguments):
        return succeed(arguments, leaf, recipe="DNS", train=script)

    return within


@pytest.mark.parametrize(
    ("family", "network", "in_process"),
    [
        ("dccrn", "dccrn_eighth", False),
        pytest.param(
            *("convtasnet", "conv_tasnet_tiny", True), marks=pytest.mark.slow
        ),
        pytest.param(*("dptnet", "dptnet_tiny", True), marks=pytest.mark.slow),
    ],
)
def test_both_scripts_train_on_dns(
    family, network, in_process, within, dns_corpus, tmp_path
):
    run = within if in_process else as_a_user
    chosen = f"!include:models/{network}.yaml"
    options = {"number_of_epochs": 1, "dataset": MIXTURES, "teacher": chosen}
    run(
        *(train_teacher, f"hparams/{family}_teacher.yaml"),
        teacher_options(dns_corpus, tmp_path, **options),
    )
    options |= {"student": chosen, "teacher_overrides": SHORT}
    stdout = run(
        *(train_dfkd, f"hparams/{family}_dfkd.yaml"),
        dfkd_options(dns_corpus, tmp_path, **options),
    )
    assert f"Teacher found: {tmp_path}/teachers/" in stdout
    (path,) = tmp_path.glob(f"{network}-from-{network}/*/results.json")
    rows = {row["system"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["noisy", "teacher", "student"]
    for row in rows.values():
        assert row["test_set"] == "no_reverb" and row["utterances"] == 2
        assert 1 <= row["pesq_wb"] <= 4.65 and 1 <= row["pesq_nb"] <= 4.65
        assert 0 < row["stoi"] <= 1 and abs(row["si_sdr"]) < 50
