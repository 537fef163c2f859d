"""One table knows the keys of the leaves; everything else follows from it."""

import ast
import runpy
from pathlib import Path

import pytest
import ruamel.yaml

from speechbrain_dfkd.settings.keys import BOTH, KEYS

ROOT = Path(__file__).parents[2]
LEAVES = sorted((ROOT / "hparams").glob("*.yaml"))
MODULES = sorted((ROOT / "speechbrain_dfkd").rglob("*.py"))


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
def test_the_keys_of_a_leaf_are_those_of_the_table(leaf):
    is_dfkd = leaf.stem.endswith("_dfkd")
    expected = {k for k, row in KEYS.items() if is_dfkd or row.leaf == BOTH}
    values = ruamel.yaml.YAML().load(leaf.read_text())
    assert set(values) == expected
    for key, row in KEYS.items():
        if row.run_name and key in values:
            assert values[key] == row.run_name[0], f"{key}: names each run"


def literals(tree):
    """Yield the texts of each list, set, tuple and dictionary."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Set | ast.Tuple):
            entries = node.elts
        elif isinstance(node, ast.Dict):
            entries = node.keys
        else:
            continue
        yield {one.value for one in entries if isinstance(one, ast.Constant)}


def test_no_module_lists_keys():
    for path in MODULES:
        for texts in literals(ast.parse(path.read_text())):
            listed = sorted(texts & KEYS.keys())
            assert len(listed) < 3, f"{name(path)}: {listed}"


def test_the_page_of_settings_is_current():
    page = runpy.run_path(str(ROOT / "benchmarks/settings.py"))
    assert page["PAGE"].read_text() == page["make_page"](), (
        "run python benchmarks/settings.py --update"
    )
