"""The part of the command line that holds for all arms of a comparison."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speechbrain_dfkd.command_words import (
    find_settings_file,
    split_command_line,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings_tree import merged, one_line, parse_tree
from speechbrain_dfkd.short_forms import spelled_out

# SpeechBrain's options for a look at a run, which leave no results.
_UNFIT = ("debug", "test_only")


@dataclass(frozen=True)
class BaseCommand:
    """A command line of ``train_dfkd.py``, to which an arm adds its own.

    Arguments
    ---------
    leaf : str
        The dfkd leaf.
    options : list of str
        Words for options that are SpeechBrain's own.
    overrides : Mapping
        Keys of the leaf and their values, as YAML nodes.
    """

    leaf: str
    options: list
    overrides: Mapping

    def argv(self, *changes: Mapping) -> list:
        """Return the words after the script's name.

        Arguments
        ---------
        changes : mappings
            Keys of the leaf and their values; later ones win, and a mapping
            changes a mapping key by key.

        Example
        -------
        >>> base = BaseCommand("a.yaml", ["--device", "cpu"], {"lr": 1})
        >>> " ".join(base.argv({"seed": 2}, {"lr": 3}))
        'a.yaml --device cpu --lr 3 --seed 2'
        """
        values, folder = self.overrides, Path(self.leaf).parent
        for change in changes:
            values = merged(values, spelled_out(change, folder))
        words = [self.leaf, *self.options]
        for key, value in values.items():
            words += [f"--{key}", one_line(value)]
        return words


def read_base_command(argv: list, recipe_folder) -> BaseCommand:
    """Read the words after the comparison file.

    Arguments
    ---------
    argv : list of str
        A dfkd leaf and what ``train_dfkd.py`` takes after it.
    recipe_folder : str or Path
        Near it the leaf is looked for, too.

    Raises
    ------
    UserError
        For what cannot hold for all arms.
    """
    leaf, run_opts, overrides = split_command_line(argv)
    leaf = find_settings_file(leaf, recipe_folder)
    overrides = parse_tree(overrides, "the command line")
    overrides = spelled_out(overrides, leaf.parent)
    unfit = [f"--{key}" for key in _UNFIT if getattr(run_opts, key)]
    unfit += [
        f"--{key}" for key in ("seed", "output_folder") if key in overrides
    ]
    if unfit:
        raise UserError(
            f"the command line must hold for all trainings of a comparison, "
            f"got {', '.join(unfit)}; drop it (seeds are in the comparison "
            f"file, folders below --results_folder)"
        )
    if "WORLD_SIZE" in os.environ:
        raise UserError(
            "a comparison must be started without torchrun, got WORLD_SIZE in "
            "the environment; side_by_side in the comparison file says how "
            "many trainings run at a time"
        )
    options = ["--noprogressbar"]  # each training writes to a file
    for key in sorted(run_opts.overridden_args - {"noprogressbar"}):
        value = run_opts[key]
        options.append(f"--{key}")
        options += [] if value is True else map(str, _as_list(value))
    return BaseCommand(str(leaf), options, overrides)


def _as_list(value):
    return value if isinstance(value, list) else [value]
