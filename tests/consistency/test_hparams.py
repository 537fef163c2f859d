"""What ships as YAML fits together."""

import re
import sys
from pathlib import Path

import pytest
import ruamel.yaml
import torch
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.command_line import DFKD_KEYS, SHARED_KEYS
from speechbrain_dfkd.configuration import compose
from speechbrain_dfkd.models import Enhanced
from speechbrain_dfkd.run_settings import check_values

ROOT = Path(__file__).parents[2]
LEAVES = sorted((ROOT / "hparams").glob("*.yaml"))
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


@pytest.mark.parametrize("path", INCLUDED, ids=name)
def test_included_file_is_named_after_itself(path):
    assert read(path)["name"] == path.stem


@pytest.mark.parametrize(
    "path", sorted((ROOT / "hparams/models").glob("*.yaml")), ids=name
)
def test_network_keeps_the_contract_of_models(path):
    model = compose(path, [], "", {"name", "model"}).build()["model"]
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


def test_teacher_and_student_are_trained_alike():
    teacher = read(ROOT / "hparams/dccrn_teacher.yaml")
    student = read(ROOT / "hparams/dccrn_dfkd.yaml")
    own = {"output_folder", "modules", "checkpointer"}
    differing = {
        key
        for key in teacher
        if key not in own and str(teacher[key]) != str(student.get(key))
    }
    assert not differing


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
