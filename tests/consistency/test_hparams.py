"""What ships as YAML fits together."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import ruamel.yaml
import torch
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.models import Enhanced
from speechbrain_dfkd.run_folder import keep_settings, refuse_other_settings
from speechbrain_dfkd.settings.checks import check_values
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.keys import DFKD_KEYS, SHARED_KEYS

ROOT = Path(__file__).parents[2]
LEAVES = sorted((ROOT / "hparams").glob("*.yaml"))
FAMILIES = sorted({leaf.stem.split("_")[0] for leaf in LEAVES})
INCLUDED = sorted((ROOT / "hparams").glob("*/*.yaml"))
DATASETS = sorted(
    folder / f"{folder.name.lower()}.yaml"
    for folder in (ROOT / "recipes").iterdir()
)


def read(path):
    return ruamel.yaml.YAML().load(path.read_text())


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(autouse=True)
def recipe_scripts_are_importable(monkeypatch, tmp_path):
    """As when a script of the recipe runs; folders are made elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", [str(p.parent) for p in DATASETS] + sys.path
    )


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
@pytest.mark.parametrize("dataset", DATASETS, ids=name)
@pytest.mark.parametrize("demo", [False, True])
def test_leaf_builds_on_data_set(leaf, dataset, demo):
    layers = [dataset, *([dataset.with_name("demo.yaml")] if demo else [])]
    configuration = compose(leaf, layers, "seed: 3", DFKD_KEYS)
    check_values(configuration.settings())
    hparams = configuration.build()
    assert callable(hparams["dataset"]["prepare"])
    assert (hparams["dataset"]["demo_corpus"] is not None) == demo
    for module in hparams["modules"].values():
        assert isinstance(module, torch.nn.Module)


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
def test_finished_training_can_go_on_longer(leaf, tmp_path):
    keep_settings(tmp_path, compose(leaf, DATASETS[:1], "", DFKD_KEYS))
    overrides = "number_of_epochs: 999"
    longer = compose(leaf, DATASETS[:1], overrides, DFKD_KEYS)
    refuse_other_settings(tmp_path, longer)


@pytest.mark.parametrize("path", INCLUDED, ids=name)
def test_included_file_is_named_after_itself(path):
    assert read(path)["name"] == path.stem


@pytest.mark.parametrize(
    "path", sorted((ROOT / "hparams/models").glob("*.yaml")), ids=name
)
def test_network_keeps_the_contract_of_models(path):
    model = compose(path, [], "", {"name", "teacher_leaf", "model"}).build()[
        "model"
    ]
    with torch.no_grad():
        enhanced = model(torch.randn(2, 2001))
    assert isinstance(enhanced, Enhanced)
    assert enhanced.wav.shape == (2, 2001)
    assert enhanced.features == {}


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
def test_no_key_is_taken_for_a_flag(leaf):
    # argparse takes a prefix of a flag of SpeechBrain for the flag itself.
    flags = set(RunOptions().as_dict())
    for key in read(leaf):
        assert not [flag for flag in flags - {key} if flag.startswith(key)], key


def differing(first, second, keys=None):
    """Return the keys whose values differ between two leaves."""
    first, second = (read(ROOT / "hparams" / name) for name in (first, second))
    keys = first.keys() | second.keys() if keys is None else keys(first)
    return {k for k in keys if str(first.get(k)) != str(second.get(k))}


@pytest.mark.parametrize("family", FAMILIES)
def test_teacher_and_student_are_trained_alike(family):
    own = {"output_folder", "modules", "checkpointer"}
    leaves = (f"{family}_{kind}.yaml" for kind in ("teacher", "dfkd"))
    assert differing(*leaves, keys=dict.keys) <= own


@pytest.mark.parametrize("family", FAMILIES)
def test_leaves_differ_in_networks_and_learning_rate_alone(family):
    for kind in ("teacher", "dfkd"):
        leaves = (f"{name}_{kind}.yaml" for name in ("dccrn", family))
        assert differing(*leaves) <= {"student", "teacher", "lr"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "hparams/models").glob("*.yaml")), ids=name
)
def test_network_is_taught_to_teach_by_the_leaf_of_its_family(path):
    leaf = ROOT / "hparams" / read(path)["teacher_leaf"]
    published = compose(leaf, [], "", DFKD_KEYS).tree["teacher"].tag.value
    same = ROOT / "hparams" / published.removeprefix("!include:")
    assert read(same)["model"].tag == read(path)["model"].tag


def test_readme_states_the_sizes_of_the_networks():
    sizes = runpy.run_path(str(ROOT / "benchmarks/sizes.py"))
    block = sizes["START"] + sizes["make_table"]() + sizes["END"]
    assert block in (ROOT / "README.md").read_text(), (
        "run python benchmarks/sizes.py --update"
    )


def test_every_teacher_leaf_takes_what_a_dfkd_leaf_shares():
    for leaf in LEAVES:
        assert set(SHARED_KEYS) <= set(read(leaf)), leaf


def test_every_number_of_a_leaf_names_its_source():
    for leaf in LEAVES:
        for line in leaf.read_text().splitlines():
            if re.match(
                r"(lr|weight_decay|batch_size|segment_seconds): ", line
            ):
                assert re.search(r"\[(P|A|ours)\]$", line), line
