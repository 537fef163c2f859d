"""Composes an experiment's settings; each misspelt key is an error."""

import copy
import difflib
import inspect
import pydoc
import re
import sysconfig
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.keys import KEYS
from speechbrain_dfkd.settings.tree import (
    INCLUDE,
    OBJECTS,
    children_of,
    dump_tree,
    merged,
    nodes_of,
    parse_tree,
    plain_settings,
    read_tree,
    settled_texts,
    tag_of,
)

_REFERENCE = re.compile(r"<([^\[\].>]+)")
# The keys of an included network or objective that the recipes read.
_INCLUDED_KEYS = {"name", "model", "teacher_leaf", "loss"}


@dataclass(frozen=True, eq=False)
class Configuration:
    """An experiment's settings before any object is made from them."""

    leaf: Path  # included files are relative to its folder
    tree: Mapping  # merged, with HyperPyYAML's tags still in place; read-only
    sources: list[str] = field(default_factory=list)  # later ones win

    def __post_init__(self):
        object.__setattr__(self, "tree", MappingProxyType(self.tree))

    def settings(self) -> dict:
        """Return the resolved settings as plain values, tags as text."""
        return copy.deepcopy(self._plain)

    def replace(self, **values: Any) -> "Configuration":
        """Return a configuration with other values of some keys."""
        tree = self.tree.copy()
        tree.update(values)
        return replace(self, tree=tree)

    def build(self) -> dict:
        """Make the objects that the settings describe."""
        try:
            return load_hyperpyyaml(self.text)
        except UserError:
            raise
        except (ValueError, TypeError, ImportError, AttributeError) as error:
            # A fault in a network of the user's own is found by its traceback.
            if not isinstance(error, ValueError) and _is_of_own_code(error):
                raise
            raise _as_user_error(self.leaf, error) from error

    # Cached: it takes a good part of a second, and a run asks ten times.
    @cached_property
    def text(self) -> str:
        """The settings as YAML with all references resolved."""
        tree = copy.deepcopy(self.tree.copy())
        tree = settled_texts(_with_includes(tree, self.leaf.parent))
        try:
            return resolve_references(dump_tree(tree)).getvalue()
        except (ValueError, OSError) as error:
            raise _as_user_error(self.leaf, error) from error

    @cached_property
    def _plain(self) -> dict:
        return plain_settings(self.text)


def compose(
    leaf: str | Path,
    layers: list,
    overrides: str | Mapping,
    read_keys: Collection[str],
    replaced: Mapping | None = None,
) -> Configuration:
    """Merge a leaf with layers of settings and check every key.

    A layer is a file that maps patterns of leaf names (``"*_teacher"``) to
    values; ``replaced`` take the whole place of what leaf and layers say.
    """
    leaf = Path(leaf)
    tree = read_tree(leaf)
    # A key that only a replaced value referred to is unused, not misspelt.
    known = set(read_keys) | set(RunOptions().as_dict()) | _referred(tree)
    sources = [str(leaf)]

    def with_values(tree: Mapping, values: Mapping, source: str) -> Mapping:
        values = spelled_out(values, leaf.parent)
        return merged(tree, values, partial(_check_known, source))

    for layer in layers:
        for pattern, values in read_tree(layer).items():
            if fnmatch(leaf.stem, pattern):
                tree = with_values(tree, values, str(layer))
        sources.append(str(layer))
    tree.update(copy.deepcopy(replaced or {}))
    if isinstance(overrides, str):
        overrides = parse_tree(overrides, "the command line")
    if overrides:
        tree = with_values(tree, overrides, "the command line")
        sources.append("the command line")
    _check_used(tree, known, leaf)
    return Configuration(leaf, tree, sources)


def spelled_out(values: Mapping, folder: Path) -> Mapping:
    """Return overrides without short forms: a.b: 16, and student: a_file."""
    result = CommentedMap()
    # A key of a network's comes after the network that it belongs to.
    for key in sorted(values, key=lambda key: str(key).count(".")):
        first, *inner = str(key).split(".")
        value = values[key]
        below = KEYS[first].folder if first in KEYS else None
        if not inner and below and type(value) is str:
            value = _include_of(first, value, folder, below)
        for name in reversed(inner):
            value = CommentedMap({name: value})
        result = merged(result, {first: value})
    return result


def _include_of(key: str, name: str, folder: Path, below: str) -> Any:
    """Return an include of the file that a text means."""
    names = [name, f"{below}/{name}"]
    names += [f"{name}.yaml" for name in names]
    here = [str(Path(n).expanduser().resolve()) for n in (name, names[2])]
    for candidate in (*names, *here):
        if (folder / candidate).is_file():
            text = f"a: {INCLUDE}{candidate}"
            return parse_tree(text, "the command line")["a"]
    files = (folder / below).glob("*.yaml")
    known = ", ".join(sorted(file.stem for file in files))
    raise UserError(
        f"{key} must be a settings file of {folder} or its name, got {name!r}; "
        f"in {below}/ there are {known}"
    )


def _check_known(source: str, tree: Mapping, key: str, path: str) -> None:
    """Refuse a key that is neither in a tree nor an argument of its object."""
    if key not in tree and key not in _parameters(tree):
        raise _unknown(f"{path}{key}", source, {f"{path}{k}" for k in tree})


def _parameters(node: Any) -> list[str]:
    """Return the names of the arguments that an object takes."""
    kind, _, name = tag_of(node).partition(":")
    made = pydoc.locate(name) if f"{kind}:" in OBJECTS[1:] else None
    try:
        return list(inspect.signature(made).parameters)
    except (TypeError, ValueError):  # of nothing; some of C's tell nothing
        return []


def _unknown(key: str, source: str | Path, known: set[str]) -> UserError:
    if "." not in key:
        known = known | set(RunOptions().as_dict())
    whole = sorted(name for name in known if name.startswith(key))
    close = whole or difflib.get_close_matches(key, sorted(known), n=1)
    hint = f"known: {', '.join(sorted(known))}"
    if close:
        hint = f"did you mean {' or '.join(map(repr, close))}?"
    elif len(known) > 12:
        hint = "--help lists the keys"
    return UserError(f"unknown key '{key}' in {source}; {hint}")


def _with_includes(node: Any, folder: Path, path: str = "") -> Any:
    """Put checked content of files in the place of their includes."""
    # HyperPyYAML would give the arguments of an object beside an include to
    # the class in the file.
    if not tag_of(node).startswith(INCLUDE):
        for key, child in children_of(node):
            node[key] = _with_includes(child, folder, f"{path}{key}.")
        return node
    file = folder / tag_of(node)[len(INCLUDE) :]
    tree = read_tree(file)
    _check_used(tree, _INCLUDED_KEYS, file)
    if isinstance(node, Mapping):
        check = partial(_check_known, f"an include of {file}")
        tree = merged(tree, node, check, path)
    tree = _with_includes(tree, file.parent, path)
    # Its references are to its own keys.
    text = resolve_references(dump_tree(tree)).getvalue()
    return parse_tree(text, str(file))


def _referred(tree: Mapping) -> set[str]:
    """Return the top-level keys that a tree's references name."""
    return {
        key
        for node in nodes_of(tree)
        if tag_of(node) in ("!ref", "!copy")
        for key in _REFERENCE.findall(str(node.value))
    }


def _check_used(tree: Mapping, read_keys: set, source: Path) -> None:
    referred = _referred(tree)
    absent = [f"<{name}>" for name in sorted(referred - set(tree))]
    for key in map(str, tree):
        if key not in referred | read_keys and not key.startswith("__"):
            error = _unknown(key, source, referred | (read_keys - set(tree)))
            ending = f" ({', '.join(absent)} is referred to, but not there)"
            raise UserError(f"{error}{ending * bool(absent)}")


def _as_user_error(leaf: Path, error: Exception) -> UserError:
    found = ": ".join(map(str, error.args)) or type(error).__name__
    return UserError(f"{leaf} cannot be used: {found}")


def _is_of_own_code(error: Exception) -> bool:
    """Tell whether an error passed through code of the user's own."""
    package, standard = Path(__file__).parents[1], sysconfig.get_path("stdlib")
    frames = traceback.extract_tb(error.__traceback__)
    files = [Path(frame.filename) for frame in frames]
    return any(
        file.is_absolute()  # "<frozen importlib>" is not
        and not {"site-packages", "dist-packages"} & set(file.parts)
        and not (file.is_relative_to(package) or file.is_relative_to(standard))
        for file in files
    )
