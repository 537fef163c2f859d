"""Reads and writes YAML without making the objects that its tags describe."""

import copy
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ruamel.yaml

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.keys import TEXT_KEYS

INCLUDE = "!include:"
# What a tag makes of the arguments below it.
OBJECTS = (INCLUDE, "!new:", "!name:", "!apply:", "!applyref:")


def read_tree(path: str | Path) -> Mapping:
    """Return a settings file as a tree of tagged nodes."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the settings file must be readable, got {path} "
            f"({error.strerror}); check the path (an included path is "
            f"relative to the folder of the file that includes it)"
        ) from error
    return parse_tree(text, str(path))


def parse_tree(text: str, source: str) -> Mapping:
    """Return YAML text as a tree; ``source`` names it in errors."""
    try:
        tree = _yaml().load(text)
    except ruamel.yaml.constructor.DuplicateKeyError as error:
        problem = error.problem.partition(" with value")[0]
        raise UserError(
            f"{source} must give each key once: {problem}; drop one of them"
        ) from error
    except ruamel.yaml.error.YAMLError as error:
        raise UserError(f"{source} must be valid YAML: {error}") from error
    if tree is not None and not isinstance(tree, Mapping):
        raise UserError(f"{source} must hold 'key: value' pairs, got {text!r}")
    return tree or ruamel.yaml.comments.CommentedMap()


def dump_tree(tree: Mapping | list, flow: bool = False) -> str:
    """Return a tree as YAML text."""
    yaml, stream = _yaml(), io.StringIO()
    yaml.default_flow_style = flow
    yaml.dump(tree, stream)
    return stream.getvalue()


def tag_of(node: Any) -> str:
    """Return a node's tag, for example "!ref", or an empty string."""
    return getattr(getattr(node, "tag", None), "value", None) or ""


def children_of(node: Any) -> list[tuple]:
    """Return pairs of key (or index) and node, of those below a node."""
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list) else []


def nodes_of(node: Any) -> Iterator:
    """Yield a node and all nodes below it."""
    yield node
    for _, child in children_of(node):
        yield from nodes_of(child)


def merged(
    values: Mapping,
    changes: Mapping,
    check: Callable | None = None,
    path: str = "",
) -> Mapping:
    """Return ``values`` changed as an override changes them.

    A mapping changes another key by key, unless its tag names another class,
    function or file; ``check`` is called with values, key and path.
    """
    result = values.copy()  # with its tag
    for key, value in changes.items():
        if check is not None:
            check(values, key, path)
        old, value = values.get(key), copy.deepcopy(value)
        tag, old_tag = tag_of(value), tag_of(old)
        is_other = tag.startswith(INCLUDE) or tag and tag != old_tag
        if isinstance(value, Mapping) and not is_other:
            if isinstance(old, Mapping):
                # Beside an include or in an empty mapping any key goes.
                is_free = not old or old_tag.startswith(INCLUDE)
                inner = None if is_free else check
                value = merged(old, value, inner, f"{path}{key}.")
            elif old_tag.startswith(OBJECTS) and not tag:
                # No mapping in YAML before it gets its first arguments.
                value.yaml_set_ctag(old.tag)
        result[key] = value
    return result


def settled_texts(node: Any, is_text: bool = False) -> Any:
    """Write out ``~``, and names of folders and speakers that are numbers."""
    is_list = isinstance(node, list)
    is_scalar = not (is_list or isinstance(node, str | Mapping | None))
    if is_text and is_scalar and not tag_of(node):
        return one_line(node)
    if isinstance(node, str) and re.match(r"~(/|$)", node):
        return os.path.expanduser(node)
    for key, child in children_of(node):
        is_name = key in TEXT_KEYS or key == "valid_speakers"
        node[key] = settled_texts(child, is_name or is_list and is_text)
    return node


def one_line(node: Any) -> str:
    """Return a node as YAML that fits a word of the command line."""
    # Within braces a tag needs a value beside it, if only an empty one.
    return _flow(node).removesuffix(" ''")


def _flow(node: Any) -> str:
    if isinstance(node, Mapping):
        pairs = (f"{key}: {_flow(value)}" for key, value in node.items())
        return f"{tag_of(node)} {{{', '.join(pairs)}}}".strip()
    if isinstance(node, list):
        return f"{tag_of(node)} [{', '.join(map(_flow, node))}]".strip()
    return dump_tree([node], flow=True).strip()[1:-1]


def plain_settings(text: str) -> dict:
    """Read HyperPyYAML text without making objects; tags become text."""
    return _plain(_yaml().load(text))


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        values = {str(key): _plain(value) for key, value in node.items()}
        return {"tag": tag_of(node), **values} if tag_of(node) else values
    if isinstance(node, list):
        return [tag_of(node)] * bool(tag_of(node)) + [_plain(v) for v in node]
    if tag_of(node):
        return f"{tag_of(node)} {getattr(node, 'value', node)}".strip()
    return node if isinstance(node, bool | int | float | None) else str(node)


def _yaml() -> ruamel.yaml.YAML:
    yaml = ruamel.yaml.YAML()
    yaml.width = 4096  # long scalars stay on one line
    return yaml
