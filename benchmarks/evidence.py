"""The tables of README.md about distillation, from benchmarks/evidence/.

    python benchmarks/evidence.py            prints them
    python benchmarks/evidence.py --update   puts them into README.md
    python benchmarks/evidence.py --collect FOLDER [--name OLD=NEW ...]

A table stands between two marks in README.md; the first one names the
comparison, and may ask for the scores on validation.

``--collect`` takes over the results of a comparison, ``comparison-<name>/`` in
a results folder: the report's metrics with four decimals. Each OLD in them, for
example the path of a data folder, becomes NEW. A full report of what is there:
``python -m speechbrain_dfkd.comparison benchmarks/evidence/NAME``.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import fmean

from speechbrain_dfkd.comparison.analysis import (
    METRICS,
    all_rows,
    heading,
    select,
)
from speechbrain_dfkd.comparison.report import (
    NOTHING,
    markdown_table,
    number,
    with_interval,
)
from speechbrain_dfkd.comparison.results import (
    COMPARISON_FILE,
    JOBS_FOLDER,
    SYSTEMS,
    SYSTEMS_FILE,
    ComparisonResults,
    load_json,
)
from speechbrain_dfkd.comparison.tuning import choose_setting
from speechbrain_dfkd.files import write_atomically

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EVIDENCE = ROOT / "benchmarks/evidence"
MARKED = re.compile(
    r"(?P<start><!-- evidence (?P<name>[\w.-]+)(?P<valid> on validation)?: "
    r"benchmarks/evidence.py -->\n)(?P<table>.*?)(?P<end><!-- end of evidence)",
    re.DOTALL,
)
DECIMALS = 4
WITH_DIFFERENCE = ("pesq_wb", "si_sdr")


def make_table(name: str) -> str:
    """Return a comparison's table: a row for each system that was tested.

    Arguments
    ---------
    name : str
        The comparison's folder in benchmarks/evidence/.
    """
    results = ComparisonResults.load(EVIDENCE / name)
    numbers = all_rows(results)
    baseline = results.arms[0]
    header = ["arm", "seeds"]
    for metric in WITH_DIFFERENCE:
        header += [heading(metric), f"minus `{baseline}`"]
    arms = [arm for arm in results.comparison["arms"] if arm in results.arms]
    lines = [_line(numbers, system) for system in [*SYSTEMS, *arms]]
    return markdown_table([*header, heading("stoi")], lines) + "\n"


def make_validation_table(name: str) -> str:
    """Return the scores on validation of the arms trained from the tuning seed.

    Of the settings that were tried for an arm the chosen one counts.

    Arguments
    ---------
    name : str
        The comparison's folder in benchmarks/evidence/.
    """
    results = ComparisonResults.load(EVIDENCE / name)
    lines = []
    for arm in results.comparison["arms"]:
        jobs = results.tuning(arm)
        if jobs:
            chosen = choose_setting(jobs, results.comparison["tune_on"])
            (job,) = (job for job in jobs if job.setting == chosen)
            ratio = chosen.get("kd_gradient_ratio", NOTHING)
            scores = [number(m, _mean_score(job, m)) for m in METRICS]
            lines.append([f"`{arm}`", ratio, *scores])
    header = ["arm", "ratio tuned", *map(heading, METRICS)]
    return markdown_table(header, lines) + "\n"


def _mean_score(job, metric):
    scores = [of[metric] for of in job.valid.values()]
    return fmean(score for score in scores if score is not None)


def _line(numbers, system):
    cells = [system if system in SYSTEMS else f"`{system}`"]
    if system in SYSTEMS:
        cells.append(NOTHING)
    else:
        cells.append(_row(numbers, "mean", system, "pesq_wb").seeds)
    for metric in WITH_DIFFERENCE:
        difference = _row(numbers, "difference", system, metric)
        cells.append(_mean(numbers, system, metric))
        cells.append(with_interval(difference, sign=True))
    return [*cells, _mean(numbers, system, "stoi")]


def _row(numbers, quantity, system, metric):
    return next(select(numbers, quantity, [system], metric))


def _mean(numbers, system, metric):
    return number(metric, _row(numbers, "mean", system, metric).value)


def collect(folder: Path, names: dict) -> Path:
    """Copy a comparison's results into benchmarks/evidence/.

    Arguments
    ---------
    folder : Path
        Holds comparison.json, systems.json and jobs/.
    names : dict
        ``{old: new}``, what is replaced in all texts.

    Returns
    -------
    Path
        The folder of the copy.
    """
    comparison = load_json(folder / COMPARISON_FILE)
    target = EVIDENCE / comparison["name"]
    paths = [COMPARISON_FILE, SYSTEMS_FILE]
    paths += [f"{JOBS_FOLDER}/{p.name}" for p in folder.glob("jobs/*.json")]
    for path in paths:
        text = json.dumps(_rounded(load_json(folder / path)))
        for old, new in names.items():
            text = text.replace(old, new)
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target / path, f"{text}\n".encode())
    return target


def _rounded(value):
    """Keep the report's metrics of each utterance, rounded."""
    if not isinstance(value, dict):
        return value
    if set(METRICS) <= set(value):
        scores = ((metric, value[metric]) for metric in METRICS)
        return {k: v if v is None else round(v, DECIMALS) for k, v in scores}
    return {key: _rounded(of) for key, of in value.items()}


def with_tables(text: str) -> str:
    """Return the README's text with every marked table made again."""
    return MARKED.sub(_marked_table, text)


def _marked_table(found):
    make = make_validation_table if found["valid"] else make_table
    return found["start"] + make(found["name"]) + found["end"]


def main():
    """Print the tables, put them into the README, or take over results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="README.md")
    parser.add_argument("--collect", type=Path, metavar="FOLDER")
    parser.add_argument("--name", action="append", default=[], help="OLD=NEW")
    arguments = parser.parse_args()
    if arguments.collect:
        names = dict(pair.split("=", 1) for pair in arguments.name)
        print(f"Taken over: {collect(arguments.collect, names)}")
        return
    text = with_tables(README.read_text(encoding="utf-8"))
    for found in MARKED.finditer(text):
        print(f"{found['start']}\n{found['table']}")
    if arguments.update:
        write_atomically(README, text.encode())


if __name__ == "__main__":
    main()
