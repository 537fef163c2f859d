"""The words of a command line, and their short forms."""

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml.comments import CommentedMap
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.tree import (
    INCLUDE,
    TEXT_KEYS,
    merged,
    parse_tree,
)

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


_EXAMPLE = "for example hparams/dccrn_dfkd.yaml"
# SpeechBrain gives these the type of their default.
_TYPES = {"ckpt_interval_minutes": float, "optimizer_step_limit": int}


class _Options(RunOptions):
    """SpeechBrain's options, whole names only, errors without a usage."""

    @staticmethod
    def _create_parser():
        parser = RunOptions._create_parser()
        parser.allow_abbrev = False
        parser.error = _refuse
        for action in parser._actions:
            action.type = _TYPES.get(action.dest, action.type)
        return parser


def _refuse(message):
    raise UserError(f"the command line must be usable, got {message}")


def options_help() -> str:
    """Return what SpeechBrain says about its own options."""
    parser = RunOptions._create_parser()
    return parser.format_help().partition("options:\n")[2]


def split_command_line(argv: list) -> tuple:
    """Split the words after a script's name.

    Arguments
    ---------
    argv : list of str
        A settings file, options of SpeechBrain, and ``--key value`` or
        ``--key=value`` for settings.

    Returns
    -------
    tuple
        The file, str; the options, ``speechbrain.utils.run_opts.RunOptions``;
        the settings, str, as YAML.

    Raises
    ------
    UserError
        For a word that belongs to nothing, or a key without a value.

    Example
    -------
    >>> leaf, options, settings = split_command_line(
    ...     ["a.yaml", "--precision", "bf16", "--run=1e3", "--lr", "1e-3"]
    ... )
    >>> leaf, options.precision, settings
    ('a.yaml', 'bf16', 'run: "1e3"\\nlr: 1e-3')
    """
    actions = {
        name: action
        for action in _Options._create_parser()._actions
        for name in action.option_strings
    }
    free, options, settings = [], [], []
    words = deque(map(str, argv))
    while words:
        word = words.popleft()
        name, joined, value = word.partition("=")
        if not word.startswith("--"):
            free.append(word)
        elif name in actions:
            options.append(word)
            if not joined:
                options += _values(actions[name], words)
        else:
            settings.append(
                _setting(name, value if joined else _value(name, words))
            )
    leaf, run_opts, _ = _Options.from_command_line_args([_only(free), *options])
    return leaf, run_opts, "\n".join(settings)


def _values(action, words):
    """Take the values of an option of SpeechBrain from the words."""
    most = {0: 0, None: 1}.get(action.nargs, len(words))
    values = []
    while words and len(values) < most and not words[0].startswith("--"):
        values.append(words.popleft())
    return values


def _value(name, words):
    if words and not words[0].startswith("--"):
        return words.popleft()
    return ""


def _setting(name, value):
    key = name.removeprefix("--")
    # An unset variable of the shell must not make a run the demo.
    if not value.strip():
        raise UserError(
            f"{name} must have a value, got none; write {name} null for none"
        )
    is_text = key in TEXT_KEYS and value != "null" and value[0] not in "!'\""
    return f"{key}: {json.dumps(value) if is_text else value}"


def _only(free):
    if not free:
        raise UserError(
            f"the command line must name a settings file, got none; {_EXAMPLE}"
        )
    if len(free) > 1:
        raise UserError(
            f"the command line must be one settings file and --key value "
            f"pairs, got the word {free[1]!r} besides {free[0]!r}; put a value "
            f"with spaces into quotes, and none behind a flag such as --debug"
        )
    return free[0]


def find_settings_file(name, recipe_folder) -> Path:
    """Return a settings file, from any working folder.

    Arguments
    ---------
    name : str
        As it stands on the command line.
    recipe_folder : str or Path
        Where there is no such file, it is looked for here and in the two
        folders above, up to the project's; what is found is announced.
    """
    path = Path(name).expanduser()
    recipe_folder = Path(recipe_folder).resolve()
    if path.exists():
        return path
    for folder in (recipe_folder, *recipe_folder.parents[:2]):
        if (folder / path).is_file():
            found = folder / path
            print(f"{name} is not in this folder; using {found}", flush=True)
            return found
    return path
