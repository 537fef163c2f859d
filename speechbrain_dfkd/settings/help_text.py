"""The answer to ``--help``: the keys of a leaf as its comments explain them."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.tree import one_line
from speechbrain_dfkd.settings.words import find_settings_file, options_help

_HEAD = """\
usage: {script} LEAF [--key value ...] [SpeechBrain's options]

The keys of {leaf} with their defaults on {dataset}. A value is YAML; a key
within another is reached by a dot, and a network or an objective by its name:
  --student dccrn_eighth --student.lstm_units 16 --kd recommended
An object of another class takes the place of the old one:
  --opt_class '!name:torch.optim.SGD {{lr: 0.01}}'
"""
_SECTION = re.compile(r"# -+ (.*?) -+$")
_ENTRY = re.compile(r"( *)([A-Za-z]\w*):(?: (.*))?$")


def asks_for_help(argv: list) -> bool:
    """Tell whether a command line asks for help."""
    return not {"-h", "--help"}.isdisjoint(argv)


def help_text(
    argv: list, recipe_folder: Path, kind: str, keys: set, script: str
) -> str:
    """Return what a recipe's script can be told.

    Arguments
    ---------
    argv : list of str
        The words after the script's name; a leaf among them is explained.
    recipe_folder : Path
        Holds the data set's settings.
    kind : str
        "dfkd" or "teacher": the leaf that is explained where none is named.
    keys : set of str
        What the script reads.
    script : str
        Its name.

    Returns
    -------
    str
    """
    files = [word for word in argv if not word.startswith("-")]
    name = files[0] if files else f"hparams/dccrn_{kind}.yaml"
    leaf = find_settings_file(name, recipe_folder)
    layer = recipe_folder / f"{recipe_folder.name.lower()}.yaml"
    tree = compose(leaf, [layer], "", keys).tree
    lines = [
        _HEAD.format(script=script, leaf=leaf.name, dataset=recipe_folder.name)
    ]
    for key, _, comment in _entries(leaf.read_text(encoding="utf-8")):
        if key is None:
            lines.append(f"{comment}:")
        elif "." not in key:
            lines += _described(key, one_line(tree[key]), comment)
    lines.append(f"of {layer.name}:")
    for key, value, comment in _entries(layer.read_text(encoding="utf-8")):
        if key and key.startswith("dataset."):
            lines += _described(key, value, comment)
    return "\n".join([*lines, "SpeechBrain's options:", options_help()])


def _entries(text: str) -> Iterator:
    """Yield key, value and comment of each line; key None: a section."""
    comments, path = [], []
    for line in text.splitlines():
        if section := _SECTION.match(line):
            yield None, None, section[1]
        elif line.strip().startswith("#"):
            comments.append(line.strip().lstrip("# "))
            continue
        elif entry := _ENTRY.match(line):
            indent, key, rest = entry.groups()
            path = [one for one in path if len(one[0]) < len(indent)]
            path.append((indent, key))
            value, _, beside = f" {rest or ''}".partition(" # ")
            dotted = ".".join(name for _, name in path)
            yield dotted, value.strip(), " ".join([*comments, beside.strip()])
        comments = []


def _described(key, value, comment):
    lines = textwrap.wrap(comment.strip(), 72) if comment.strip() else []
    return [
        f"  --{key} {value}".rstrip(),
        *(f"        {line}" for line in lines),
    ]
