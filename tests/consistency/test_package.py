"""The rules of the code base that a reader relies on."""

import ast
import re
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


def test_readme_maps_every_file():
    text = (ROOT / "README.md").read_text()
    tree = text.split("## File map")[1].split("\n## ")[0]
    for path in MODULES:
        if path.name != "__init__.py":
            assert re.search(rf"\b{path.stem}\b", tree), path


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_public_names_can_be_imported():
    import speechbrain_dfkd

    for public_name in speechbrain_dfkd.__all__:
        assert getattr(speechbrain_dfkd, public_name).__name__ == public_name
