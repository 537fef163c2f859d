"""Every key of the leaves: meaning, range, default, who may change it.

python benchmarks/settings.py            prints docs/settings.md
python benchmarks/settings.py --update   writes it
"""

import argparse
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings.keys import (
    DFKD,
    FREE_OPTIONS,
    KEYS,
    MAY_CHANGE,
    TOLERATED,
)
from speechbrain_dfkd.settings.tree import INCLUDE, one_line, read_tree, tag_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/settings.md"
LEAVES = sorted((ROOT / "hparams").glob("*.yaml"))
HEAD = """\
# Settings

<!-- Made by python benchmarks/settings.py --update -->

Every key of the leaves in `hparams/`, from the table
`speechbrain_dfkd/settings/keys.yaml`. On the command line each is `--key value`,
a key within it `--key.inner value`; `--help` explains them with the defaults of
a leaf on a data set.

- **leaf**: *dfkd* leaves alone have the key, or *both* kinds; *shared*: what a
  dfkd leaf says holds for the teacher that it trains too. Other values for that
  teacher go into `teacher_overrides`.
- **default**: of the leaves as they ship; several where the families differ.
- **a resume may change it**: whether a run goes on in its folder with another
  value, and whether a comparison does. All other changes are refused.

| key | meaning | range | default | leaf | a resume may change it |
|---|---|---|---|---|---|
"""
TAIL = """
A run may also go on with another {parts}.

The name of a run, the last part of `output_folder`, ends in {endings}.

## Options of SpeechBrain

They are given like keys. These decide on the results, so that a run is
refused to go on with another value: {decisive}. All others may change.
"""


def make_page() -> str:
    """Return docs/settings.md."""
    trees = [read_tree(leaf) for leaf in LEAVES]
    lines = [_row(key, trees) for key in KEYS]
    parts = _code(sorted(key for key in MAY_CHANGE if "." in key))
    options = set(RunOptions().as_dict()) - FREE_OPTIONS
    decisive = _code(sorted(options - TOLERATED))
    endings = ", ".join(
        f"`-{row.run_name[1]}` where `{key}` is not `{row.run_name[0]}`"
        for key, row in KEYS.items()
        if row.run_name
    )
    tail = TAIL.format(
        parts=parts.replace(", ", " or "), endings=endings, decisive=decisive
    )
    return HEAD + "".join(lines) + tail


def _row(key, trees):
    row = KEYS[key]
    defaults = [_brief(tree[key]) for tree in trees if key in tree]
    constraint = row.check or row.built
    leaf = "dfkd" if row.leaf == DFKD else "both"
    cells = [
        f"`{key}`",
        row.meaning,
        constraint.constraint if constraint else "",
        _code(dict.fromkeys(defaults)),
        leaf + ", shared" * row.shared,
        f"yes, {row.resume}" if row.resume else "no",
    ]
    return f"| {' | '.join(cells)} |\n"


def _brief(node):
    """Return a default in few words: of an object its class alone."""
    if isinstance(node, dict) and len(node):
        return tag_of(node).rpartition(".")[2] or " ".join(node)
    if isinstance(node, bool):
        return str(node)
    return one_line(node).removeprefix(INCLUDE).replace("'", "")


def _code(words):
    return ", ".join(f"`{word}`" for word in words)


def main():
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help=str(PAGE))
    page = make_page()
    if parser.parse_args().update:
        write_atomically(PAGE, page.encode())
    else:
        print(page, end="")


if __name__ == "__main__":
    main()
