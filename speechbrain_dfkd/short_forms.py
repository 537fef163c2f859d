"""What a user may write in place of nested keys and of included files."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings_tree import INCLUDE, merged, parse_tree

# Where a network or an objective has its file, beside a leaf.
_FOLDERS = {"student": "models", "teacher": "models", "kd": "kd"}


def spelled_out(values: Mapping, folder: Path) -> Mapping:
    """Return overrides without short forms.

    ``student.lstm_units: 16`` stands for ``student: {lstm_units: 16}``, and
    ``student: dccrn_eighth`` or the path of its file for an include of it.

    Arguments
    ---------
    values : Mapping
        Keys and nodes.
    folder : Path
        The leaf's.

    Raises
    ------
    UserError
        For a network or an objective of which there is no file.
    """
    result = CommentedMap()
    # A key of a network's comes after the network that it belongs to.
    for key in sorted(values, key=lambda key: str(key).count(".")):
        first, *inner = str(key).split(".")
        value = values[key]
        if not inner and first in _FOLDERS and type(value) is str:
            value = _include_of(first, value, folder)
        for name in reversed(inner):
            value = CommentedMap({name: value})
        result = merged(result, {first: value})
    return result


def _include_of(key, name, folder):
    """Return an include of the file that a text means."""
    names = [name, f"{_FOLDERS[key]}/{name}"]
    names += [f"{name}.yaml" for name in names]
    here = [str(Path(n).expanduser().resolve()) for n in (name, names[2])]
    for candidate in (*names, *here):
        if (folder / candidate).is_file():
            text = f"a: {INCLUDE}{candidate}"
            return parse_tree(text, "the command line")["a"]
    files = sorted((folder / _FOLDERS[key]).glob("*.yaml"))
    known = ", ".join(file.stem for file in files)
    raise UserError(
        f"{key} must be a settings file of {folder} or its name, got {name!r}; "
        f"in {_FOLDERS[key]}/ there are {known}"
    )
