"""Parameters and multiply-accumulates of every network in hparams/models/.

    python benchmarks/sizes.py            prints the table
    python benchmarks/sizes.py --update   puts it into README.md

Multiply-accumulates are those of a second of audio at 16 kHz, of batch 1, as
executed: see ``speechbrain_dfkd.evaluation.complexity.macs_per_second``.
"""

import argparse
from pathlib import Path

from hyperpyyaml import load_hyperpyyaml

from speechbrain_dfkd.evaluation.complexity import (
    count_parameters,
    macs_per_second,
)
from speechbrain_dfkd.files import write_atomically

ROOT = Path(__file__).parents[1]
START, END = "<!-- sizes: benchmarks/sizes.py -->\n", "<!-- end of sizes -->\n"


SIZES = ROOT / "hparams/models"


def load_network(name: str):
    """Return the network that a file in hparams/models/ describes."""
    with open(SIZES / f"{name}.yaml", encoding="utf-8") as file:
        return load_hyperpyyaml(file)["model"]


def load_sizes() -> dict:
    """Return every network in hparams/models, by family, largest first."""
    models = {path.stem: load_network(path.stem) for path in SIZES.iterdir()}

    def order(item):
        return type(item[1]).__name__, -count_parameters(item[1])

    return dict(sorted(models.items(), key=order))


def in_units(parameters: int) -> str:
    """Return a count with three digits.

    Example
    -------
    >>> in_units(3_671_053), in_units(57_938)
    ('3.67 M', '58 k')
    """
    if parameters >= 999_500:
        return f"{parameters / 1e6:.2f} M"
    return f"{parameters / 1e3:.0f} k"


def make_table() -> str:
    """Return the table in Markdown: a row a family, the published size first."""
    families = {}
    for name, model in load_sizes().items():
        cells = families.setdefault(type(model).__name__, [])
        cells.append(_cell(name, model))
    n_columns = max(map(len, families.values()))
    smaller = ["smaller ones", *[""] * (n_columns - 2)]
    lines = [["family", "published", *smaller], ["---"] * (n_columns + 1)]
    for family, cells in families.items():
        lines.append([family, *cells, *[""] * (n_columns - len(cells))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(name, model):
    size = in_units(count_parameters(model))
    return f"`{name}` {size}, {macs_per_second(model) / 1e9:.3g}"


def main():
    """Print the table, or put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="README.md")
    table = make_table()
    print(table, end="")
    if parser.parse_args().update:
        readme = ROOT / "README.md"
        before, rest = readme.read_text(encoding="utf-8").split(START)
        after = rest.split(END)[1]
        text = before + START + table + END + after
        write_atomically(readme, text.encode())


if __name__ == "__main__":
    main()
