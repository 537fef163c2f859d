"""The package stays small enough to be known by room."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "speechbrain_dfkd"
MODULES = sorted(PACKAGE.rglob("*.py"))


def length(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_package_does_not_grow():
    assert len(MODULES) <= 80
    assert sum(map(length, MODULES)) <= 13_000
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported(path):
    """Return the dotted names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_no_module_is_a_scrap_of_another():
    importers = defaultdict(set)
    for path in MODULES:
        for name in imported(path):
            importers[name].add(path)
    scraps = [
        path
        for path in MODULES
        if path.name not in ("__init__.py", "__main__.py")
        and length(path) < 40
        and len(importers[dotted(path)]) == 1
    ]
    assert scraps == []
