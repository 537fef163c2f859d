"""What a recipe's prepare.py runs: the preparation alone, or a shard of it."""

import re
from argparse import ArgumentParser
from pathlib import Path

from speechbrain_dfkd.data.dataset import prepare_splits
from speechbrain_dfkd.errors import UserError, whole_lists_in
from speechbrain_dfkd.folder_lock import hold_folder
from speechbrain_dfkd.settings.command_line import exit_code, read_command
from speechbrain_dfkd.settings.configuration import Configuration
from speechbrain_dfkd.settings.keys import DFKD_KEYS, PREPARE_KEYS
from speechbrain_dfkd.settings.tree import parse_tree


def prepare(argv: list[str], recipe_folder: str | Path) -> int:
    """Prepare a leaf's data, or a shard of them; return the exit code."""
    return exit_code(_prepare, argv, recipe_folder)


def _prepare(argv: list[str], recipe_folder: Path) -> None:
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--shard", nargs="?", const="none")
    asked, argv = parser.parse_known_args(list(map(str, argv)))
    shard = asked.shard and _numbers(asked.shard)
    script = "prepare.py [--shard I/N]"
    command = read_command(argv, recipe_folder, DFKD_KEYS, script)
    # The objects of the data alone: no network, no run's folder.
    whole = command.configuration
    tree = parse_tree(whole.text, str(whole.leaf))
    needed = {k: tree[k] for k in (*PREPARE_KEYS, "skip_prep", "dataset")}
    hparams = Configuration(whole.leaf, needed).build()
    if shard is None:
        prepare_splits(hparams)
        return
    if len(command.layers) > 1 or hparams["skip_prep"]:
        raise UserError(
            "--shard must come with --data_folder and without --skip_prep, got "
            f"{asked.shard}; the demo and own manifests need no shards"
        )
    name = "{}-of-{}".format(*shard)
    folder = Path(hparams["prepared_folder"]).expanduser() / "shards" / name
    # Each has a lock of its own: shards work side by side, but not one twice.
    with hold_folder(folder), whole_lists_in(folder / "refused_files.txt"):
        settings = {key: hparams[key] for key in PREPARE_KEYS}
        hparams["dataset"]["prepare"](**settings, shard=shard)
    print(f"Shard {name} is checked and resampled.", flush=True)


def _numbers(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise UserError(
            f"--shard must be I/N with I from 1 to N, got {text}; pass 1/4 to "
            "the first of four processes, and 4/4 to the last"
        )
    return number, count
