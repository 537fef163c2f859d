"""The rules of the code base that a reader relies on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "speechbrain_dfkd").rglob("*.py"))


def name(path):
    return str(path.relative_to(ROOT))


def public(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from public(node)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_everything_public_is_documented(path):
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), path
    for node in public(tree):
        assert ast.get_docstring(node), node.name


def test_public_names_can_be_imported():
    import speechbrain_dfkd

    for public_name in speechbrain_dfkd.__all__:
        assert getattr(speechbrain_dfkd, public_name).__name__ == public_name
