"""The tables of the documentation about distillation, from benchmarks/evidence/.

    python benchmarks/evidence.py            prints them
    python benchmarks/evidence.py --update   puts them into docs/ and README.md
    python benchmarks/evidence.py --unpack FOLDER
    python benchmarks/evidence.py --collect FOLDER [--name OLD=NEW ...]

A table stands between two marks in docs/evidence.md; the first one names the
comparison, and may ask for the scores on validation. README.md has a summary.

benchmarks/evidence/ holds a file for each comparison: a line for what was
compared, one for the noisy input and the teacher, and one for each training.
``--unpack`` writes them as a comparison's folders, of which
``python -m speechbrain_dfkd.comparison FOLDER/NAME`` makes a full report.

``--collect`` takes over the results of a comparison, ``comparison-<name>/`` in
a results folder: the report's metrics with four decimals. Each OLD in them, for
example the path of a data folder, becomes NEW.
"""

import argparse
import json
import re
from dataclasses import asdict, fields
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
    JOB_FILE,
    RUNS_FOLDER,
    SPLITS,
    SYSTEMS,
    TEACHER_FOLDER,
    ComparisonResults,
    Job,
    JobResult,
    load_jobs,
    load_json,
    save_json,
)
from speechbrain_dfkd.comparison.tuning import choose_setting
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.run_folder import RESULTS_FILE

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/evidence.md")
EVIDENCE = ROOT / "benchmarks/evidence"
MARKED = re.compile(
    r"(?P<start><!-- evidence (?P<name>[\w.-]+)(?P<valid> on validation)?: "
    r"benchmarks/evidence.py -->\n)(?P<table>.*?)(?P<end><!-- end of evidence)",
    re.DOTALL,
)
DECIMALS = 4
WITH_DIFFERENCE = ("pesq_wb", "si_sdr")
# The summary in README.md: comparison, student, teacher.
SUMMARY = "summary"
PAIRS = (
    ("evidence", "DCCRN, 58 k", "DCCRN, 920 k"),
    ("evidence_second_teacher", "DCCRN, 58 k", "DCCRN, 920 k, another"),
    ("evidence_conv_tasnet", "Conv-TasNet, 98 k", "Conv-TasNet, 349 k"),
    ("evidence_cross_family", "Conv-TasNet, 98 k", "DCCRN, 231 k"),
)


def read_lines(name: str) -> dict:
    """Return a comparison's ``comparison``, ``systems`` and list ``job``."""
    lines = (EVIDENCE / f"{name}.jsonl").read_text("utf-8").splitlines()
    found = {"job": []}
    for line in lines:
        ((kind, content),) = json.loads(line).items()
        if kind == "job":
            found["job"].append(content)
        else:
            found[kind] = content
    return found


def load(name: str) -> ComparisonResults:
    """Return the results of a comparison in benchmarks/evidence/."""
    lines = read_lines(name)
    jobs = [JobResult(**job) for job in lines["job"]]
    return ComparisonResults(lines["comparison"], jobs, lines["systems"])


def make_summary() -> str:
    """Return PESQ of the students trained alone, and what distillation adds."""
    lines = []
    for name, student, teacher in PAIRS:
        numbers = all_rows(load(name))
        gains = [
            with_interval(row, sign=True)
            for row in select(
                numbers, "difference", ["dfkd", "recommended"], "pesq_wb"
            )
        ]
        alone = _mean(numbers, "none", "pesq_wb")
        lines.append([student, teacher, alone, *gains])
    header = ["student", "teacher", "alone", "`dfkd`", "`recommended`"]
    return markdown_table(header, lines) + "\n"


def make_table(name: str) -> str:
    """Return a comparison's table: a row for each system that was tested.

    Arguments
    ---------
    name : str
        The comparison's file in benchmarks/evidence/.
    """
    results = load(name)
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
        The comparison's file in benchmarks/evidence/.
    """
    results = load(name)
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
    name, seeds = f"`{system}`", _row(numbers, "mean", system, "pesq_wb").seeds
    cells = [system, NOTHING] if system in SYSTEMS else [name, seeds]
    for metric in WITH_DIFFERENCE:
        difference = _row(numbers, "difference", system, metric)
        cells.append(_mean(numbers, system, metric))
        cells.append(with_interval(difference, sign=True))
    return [*cells, _mean(numbers, system, "stoi")]


def _row(numbers, quantity, system, metric):
    return next(select(numbers, quantity, [system], metric))


def _mean(numbers, system, metric):
    return number(metric, _row(numbers, "mean", system, metric).value)


def unpack(folder: Path) -> None:
    """Write each comparison's folder, as ``compare.py`` leaves it."""
    for path in EVIDENCE.glob("*.jsonl"):
        target = folder / path.stem
        lines = read_lines(path.stem)
        save_json(target / COMPARISON_FILE, lines["comparison"])
        teacher = {"scores": lines["systems"]}
        save_json(target / TEACHER_FOLDER / RESULTS_FILE, teacher)
        for content in lines["job"]:
            write_run(target, JobResult(**content))


def write_run(folder: Path, result: JobResult) -> None:
    """Write a training into a comparison's folder as it was read from there."""
    content = asdict(result)
    job = {entry.name: content.pop(entry.name) for entry in fields(Job)}
    scores = {split: content.pop(split) for split in SPLITS}
    run = folder / RUNS_FOLDER / result.name
    save_json(run / JOB_FILE, job)
    save_json(run / RESULTS_FILE, {"scores": {"student": scores}, **content})


def collect(folder: Path, names: dict) -> Path:
    """Take a comparison's results over into benchmarks/evidence/.

    Arguments
    ---------
    folder : Path
        Holds comparison.json, teacher/ and runs/.
    names : dict
        ``{old: new}``, what is replaced in all texts.

    Returns
    -------
    Path
        The file that holds them.
    """
    teacher = load_json(folder / TEACHER_FOLDER / RESULTS_FILE)
    records = [
        {"comparison": load_json(folder / COMPARISON_FILE)},
        {"systems": teacher["scores"]},
    ]
    records += [{"job": asdict(job)} for job in load_jobs(folder)]
    compact = json.JSONEncoder(separators=(",", ":"))
    text = "".join(f"{compact.encode(_rounded(r))}\n" for r in records)
    for old, new in names.items():
        text = text.replace(old, new)
    target = EVIDENCE / f"{records[0]['comparison']['name']}.jsonl"
    write_atomically(target, text.encode())
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
    """Return a page's text with every marked table made again."""
    return MARKED.sub(_marked_table, text)


def _marked_table(found):
    if found["name"] == SUMMARY:
        return found["start"] + make_summary() + found["end"]
    make = make_validation_table if found["valid"] else make_table
    return found["start"] + make(found["name"]) + found["end"]


def main():
    """Print the tables, put them into the pages, or move results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="all pages")
    parser.add_argument("--unpack", type=Path, metavar="FOLDER")
    parser.add_argument("--collect", type=Path, metavar="FOLDER")
    parser.add_argument("--name", action="append", default=[], help="OLD=NEW")
    arguments = parser.parse_args()
    if arguments.unpack:
        unpack(arguments.unpack)
        return
    if arguments.collect:
        names = dict(pair.split("=", 1) for pair in arguments.name)
        print(f"Taken over: {collect(arguments.collect, names)}")
        return
    for page in PAGES:
        text = with_tables(page.read_text(encoding="utf-8"))
        for found in MARKED.finditer(text):
            print(f"{found['start']}\n{found['table']}")
        if arguments.update:
            write_atomically(page, text.encode())


if __name__ == "__main__":
    main()
