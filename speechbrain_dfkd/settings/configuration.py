"""Composes an experiment from a leaf, a data set's settings and overrides.

A leaf (``hparams/*.yaml``) describes one experiment and no data set. The
settings of a data set (``recipes/<DATASET>/<dataset>.yaml``) map patterns of
leaf names to values for the keys of matching leaves. The command line comes
last. Later values win. HyperPyYAML itself silently ignores a misspelt key in
an included file or in a nested override; here each is an error.
"""

import copy
import difflib
import inspect
import io
import pydoc
import re
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.tree import (
    INCLUDE,
    OBJECTS,
    children_of,
    dump_tree,
    expand_home,
    nodes_of,
    parse_tree,
    plain_settings,
    read_tree,
    replaces,
    tag_of,
    with_tag_of,
    write_names_as_text,
)
from speechbrain_dfkd.settings.words import spelled_out

_MOST_LISTED = 12
_REFERENCE = re.compile(r"<([^\[\].>]+)")
# The keys of an included network or objective that the recipes read.
_INCLUDED_KEYS = {"name", "model", "teacher_leaf", "loss"}


@dataclass
class Configuration:
    """An experiment's settings before any object is made from them.

    Arguments
    ---------
    leaf : Path
        The experiment's file; included files are relative to its folder.
    tree : Mapping
        The merged settings with HyperPyYAML's tags still in place.
    sources : list of str
        Where values came from, later ones winning.
    """

    leaf: Path
    tree: Mapping
    sources: list = field(default_factory=list)

    def __post_init__(self):
        # Resolving takes half a second, and a run asks ten times.
        self._resolved = {}

    def text(self) -> str:
        """Return the settings as YAML with all references resolved."""
        return self._resolve()[0]

    def settings(self) -> dict:
        """Return the resolved settings as plain values, tags as text."""
        return copy.deepcopy(self._resolve()[1])

    def _resolve(self):
        unresolved = dump_tree(self.tree)
        if unresolved not in self._resolved:
            text = self._text_of(unresolved)
            self._resolved = {unresolved: (text, plain_settings(text))}
        return self._resolved[unresolved]

    def _text_of(self, unresolved):
        stream = _NamedText(unresolved, name=str(self.leaf))
        try:
            text = resolve_references(stream).getvalue()
        except (ValueError, OSError) as error:
            raise _as_user_error(self.leaf, error) from error
        if "~" not in text:
            return text
        tree = parse_tree(text, str(self.leaf))
        expand_home(tree)
        return dump_tree(tree)

    def build(self) -> dict:
        """Make the objects that the settings describe.

        Returns
        -------
        dict
            What ``hyperpyyaml.load_hyperpyyaml`` returns.

        Raises
        ------
        UserError
            Where a value does not fit, with the reason.
        """
        try:
            return load_hyperpyyaml(self.text())
        except UserError:
            raise
        except (ValueError, TypeError, ImportError, AttributeError) as error:
            # A fault in a network of the user's own is found by its traceback.
            if not isinstance(error, ValueError) and _is_of_own_code(error):
                raise
            raise _as_user_error(self.leaf, error) from error


class _NamedText(io.StringIO):
    """Text with a file name, from which HyperPyYAML resolves includes."""

    def __init__(self, text, name):
        super().__init__(text)
        self.name = name


def compose(leaf, layers, overrides, read_keys) -> Configuration:
    """Merge a leaf with layers of settings and check every key.

    Arguments
    ---------
    leaf : str or Path
        The experiment's YAML file.
    layers : list of (str or Path)
        Files that map patterns of leaf names (``"*"``, ``"*_teacher"``) to
        values; those whose pattern matches are applied in order.
    overrides : str or Mapping
        The command line's values: YAML text, as
        ``speechbrain.parse_arguments`` gives it, or a mapping.
    read_keys : set of str
        The top-level keys that the calling script reads. A key that is not
        among them, is no run option of SpeechBrain and is referred to by no
        other key is taken for a misspelling.

    Returns
    -------
    Configuration

    Raises
    ------
    UserError
        For a missing file, broken YAML, or an unknown key.
    """
    leaf = Path(leaf)
    tree = read_tree(leaf)
    # A key that only a replaced value referred to is idle, not misspelt.
    known = read_keys | set(RunOptions().as_dict()) | _referred(tree)
    sources = [str(leaf)]
    for layer in layers:
        for pattern, values in read_tree(layer).items():
            if fnmatch(leaf.stem, pattern):
                values = spelled_out(values, leaf.parent)
                _merge(tree, values, leaf.parent, str(layer))
        sources.append(str(layer))
    if isinstance(overrides, str):
        overrides = parse_tree(overrides, "the command line")
    if overrides:
        overrides = spelled_out(overrides, leaf.parent)
        _merge(tree, overrides, leaf.parent, "the command line")
        sources.append("the command line")
    _check_used(tree, known, leaf)
    _settle_includes(tree, leaf.parent)
    write_names_as_text(tree)
    return Configuration(leaf, tree, sources)


def _merge(tree, values, folder, source, path=""):
    """Put ``values`` into ``tree``; every key must be there already.

    An object may also get an argument that it is not given in the leaf.
    """
    for key, value in values.items():
        if key not in tree and key not in _parameters(tree):
            raise _unknown(f"{path}{key}", source, [f"{path}{k}" for k in tree])
        old, here = tree.get(key), f"{path}{key}."
        if replaces(value, old):
            tree[key] = copy.deepcopy(value)
        elif tag_of(old).startswith(INCLUDE):
            included = _included(old, folder, source, here)
            file = folder / tag_of(old)[len(INCLUDE) :]
            _merge(included, value, file.parent, source, here)
            tree[key] = _resolved(included, file)
        elif isinstance(old, Mapping) and len(old):
            _merge(old, value, folder, source, here)
        else:
            tree[key] = with_tag_of(old, value)


def _parameters(node):
    """Return the names of the arguments that an object takes."""
    kind, _, name = tag_of(node).partition(":")
    callable_ = pydoc.locate(name) if f"{kind}:" in OBJECTS[1:] else None
    if not callable(callable_):
        return []
    try:
        return list(inspect.signature(callable_).parameters)
    except ValueError:  # some of C's tell nothing
        return []


def _included(node, folder, source, path=""):
    """Return what an include stands for, with the values given beside it."""
    file = folder / tag_of(node)[len(INCLUDE) :]
    tree = read_tree(file)
    if isinstance(node, Mapping):
        _merge(tree, node, file.parent, source, path)
    return tree


def _resolved(tree, file):
    # Its own references are relative to itself.
    stream = _NamedText(dump_tree(tree), name=str(file))
    return parse_tree(resolve_references(stream).getvalue(), str(file))


def _unknown(key, source, known):
    known = {str(name) for name in known}
    if "." not in str(key):
        known |= set(RunOptions().as_dict())
    whole = sorted(name for name in known if name.startswith(str(key)))
    close = whole or difflib.get_close_matches(str(key), sorted(known), n=1)
    hint = f"did you mean {' or '.join(map(repr, close))}?"
    if not close:
        hint = f"known: {', '.join(sorted(known))}"
    if not close and len(known) > _MOST_LISTED:
        hint = "--help lists the keys"
    return UserError(f"unknown key '{key}' in {source}; {hint}")


def _settle_includes(node, folder):
    """Check the keys of included files, and those given beside an include.

    Returns the node, or what takes its place: HyperPyYAML would give the
    arguments of an object beside an include to the class in the file.
    """
    if not tag_of(node).startswith(INCLUDE):
        for key, child in children_of(node):
            node[key] = _settle_includes(child, folder)
        return node
    name = tag_of(node)[len(INCLUDE) :]
    file = folder / name
    _check_used(read_tree(file), _INCLUDED_KEYS, name)
    content = _included(node, folder, f"an include of {name}")
    includes = [n for n in nodes_of(content) if tag_of(n).startswith(INCLUDE)]
    wrong = any(map(_holds_objects, [node, *includes]))
    content = _settle_includes(content, file.parent)
    return _resolved(content, file) if wrong else node


def _holds_objects(node):
    return any(
        isinstance(child, Mapping) and tag_of(child)
        for _, value in children_of(node)
        for child in nodes_of(value)
    )


def _referred(tree):
    """Return the top-level keys that a tree's references name."""
    return {
        key
        for node in nodes_of(tree)
        if tag_of(node) in ("!ref", "!copy")
        for key in _REFERENCE.findall(str(node.value))
    }


def _check_used(tree, read_keys, source):
    referred = _referred(tree)
    for key in tree:
        if key in referred | read_keys or key.startswith("__"):
            continue
        error = _unknown(key, source, referred | (read_keys - set(tree)))
        absent = sorted(referred - set(tree))
        if absent:
            names = ", ".join(f"<{name}>" for name in absent)
            error = UserError(
                f"{error} ({names} is referred to, but not there)"
            )
        raise error


def _as_user_error(leaf, error):
    parts = [str(part) for part in error.args] or [type(error).__name__]
    return UserError(f"{leaf} cannot be used: {': '.join(parts)}")


def _is_of_own_code(error):
    """Tell whether an error passed through code that is neither installed."""
    paths = sysconfig.get_paths()
    installed = {paths[key] for key in ("stdlib", "purelib", "platlib")}
    installed.add(str(Path(__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    files = [Path(frame.filename) for frame in frames]
    return any(
        file.is_absolute()
        and not {"site-packages", "dist-packages"} & set(file.parts)
        and not any(file.is_relative_to(folder) for folder in installed)
        for file in files[1:]
    )
