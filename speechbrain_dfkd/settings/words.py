"""The words of a command line, and the answer to ``--help``."""

import json
import re
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.keys import DFKD_KEYS, TEXT_KEYS
from speechbrain_dfkd.settings.tree import one_line


class _Options(RunOptions):
    """SpeechBrain's options, whole names only, errors without a usage."""

    @staticmethod
    def _create_parser() -> ArgumentParser:
        def refuse(message: str) -> None:
            raise UserError(f"the command line must be usable, got {message}")

        parser = RunOptions._create_parser()
        parser.allow_abbrev = False
        parser.error = refuse
        # SpeechBrain gives these the type of their default.
        known = parser._option_string_actions
        known["--ckpt_interval_minutes"].type = float
        known["--optimizer_step_limit"].type = int
        return parser


def split_command_line(argv: list[str]) -> tuple[str, RunOptions, str]:
    """Return the file, SpeechBrain's options and the settings as YAML."""
    actions = _Options._create_parser()._option_string_actions
    groups = [[]]
    for word in map(str, argv):
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    files, *groups = groups
    options, settings = [], []
    for word, *values in groups:
        name, joined, value = word.partition("=")
        nargs = actions[name].nargs if name in actions else None
        most = 0 if joined else {0: 0, None: 1}.get(nargs, len(values))
        files += values[most:]
        if name in actions:
            options += [word, *values[:most]]
        else:
            value = value if joined else "".join(values[:most])
            settings.append(_setting(name, value))
    if not files:
        raise UserError(
            "the command line must name a settings file, got none; for example "
            "hparams/dccrn_dfkd.yaml"
        )
    if len(files) > 1:
        raise UserError(
            f"the command line must be one settings file and --key value "
            f"pairs, got the word {files[1]!r} besides {files[0]!r}; put a "
            f"value with spaces into quotes, and none behind a flag such as "
            f"--debug"
        )
    leaf, run_opts, _ = _Options.from_command_line_args([*files, *options])
    return leaf, run_opts, "\n".join(settings)


def _setting(name: str, value: str) -> str:
    key = name.removeprefix("--")
    # An unset variable of the shell must not make a run the demo.
    if not value.strip():
        raise UserError(
            f"{name} must have a value, got none; write {name} null for none"
        )
    is_text = key in TEXT_KEYS and value != "null" and value[0] not in "!'\""
    return f"{key}: {json.dumps(value) if is_text else value}"


def find_settings_file(name: str, recipe_folder: str | Path) -> Path:
    """Return a settings file, from any folder of the project; announce it."""
    path = Path(name).expanduser()
    recipe_folder = Path(recipe_folder).resolve()
    for folder in (recipe_folder, *recipe_folder.parents[:2]):
        found = folder / path
        if found.is_file() and not path.exists():
            print(f"{name} is not in this folder; using {found}", flush=True)
            return found
    return path


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


def asks_for_help(argv: list[str]) -> bool:
    """Tell whether a command line asks for help."""
    return not {"-h", "--help"}.isdisjoint(argv)


def help_text(
    argv: list[str], recipe_folder: Path, kind: str, script: str
) -> str:
    """Explain the leaf in ``argv``, or that of ``kind`` "dfkd" or "teacher"."""
    files = [word for word in argv if not word.startswith("-")]
    name = files[0] if files else f"hparams/dccrn_{kind}.yaml"
    leaf = find_settings_file(name, recipe_folder)
    layer = recipe_folder / f"{recipe_folder.name.lower()}.yaml"
    tree = compose(leaf, [layer], "", DFKD_KEYS).tree
    dataset = recipe_folder.name
    lines = [_HEAD.format(script=script, leaf=leaf.name, dataset=dataset)]
    for key, _, comment in _entries(leaf.read_text(encoding="utf-8")):
        if key is None:
            lines.append(f"{comment}:")
        elif "." not in key:
            lines += _described(key, one_line(tree[key]), comment)
    lines.append(f"of {layer.name}:")
    for key, value, comment in _entries(layer.read_text(encoding="utf-8")):
        if key and key.startswith("dataset."):
            lines += _described(key, value, comment)
    options = RunOptions._create_parser().format_help()
    options = options.partition("options:\n")[2]
    return "\n".join([*lines, "SpeechBrain's options:", options])


def _entries(text: str) -> Iterator[tuple]:
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


def _described(key: str, value: str, comment: str) -> list[str]:
    lines = textwrap.wrap(comment.strip(), 72)
    return [f"  --{key} {value}".rstrip(), *(f"        {li}" for li in lines)]
