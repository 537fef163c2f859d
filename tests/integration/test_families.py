"""Every dfkd leaf distils, and so does a pair of two families."""

import json

import pytest
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import DFKD, ROOT, dfkd_options, finish

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
