"""The pages say what the committed results of the comparisons say."""

import json
import re
import runpy
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "benchmarks/evidence.py"))
PAGES = {path.name: path.read_text("utf-8") for path in TOOL["PAGES"]}
FILES = sorted((ROOT / "benchmarks/evidence").iterdir())
SUMMARY, *OTHERS = TOOL["MARKED"].finditer(PAGES["README.md"])
TABLES = list(TOOL["MARKED"].finditer(PAGES["evidence.md"]))
ROW = re.compile(r"\| `(?P<arm>\w+)` \|(?P<cells>.*)\|")
METRICS = ("pesq_wb", "si_sdr")  # the table has their differences

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
each_table = pytest.mark.parametrize(
    "found",
    [found for found in TABLES if not found["valid"]],
    ids=lambda found: found["name"],
)
each_validation_table = pytest.mark.parametrize(
    "found",
    [found for found in TABLES if found["valid"]],
    ids=lambda found: found["name"],
)


@cache
def read(name):
    """Return a comparison's comparison, systems and jobs."""
    path = ROOT / f"benchmarks/evidence/{name}.jsonl"
    (first, second, *rest) = map(json.loads, path.read_text().splitlines())
    jobs = [line["job"] for line in rest]
    return first["comparison"], second["systems"], jobs


def scores_of(name, arm, metric):
    """Return ``{seed: {clip: score}}`` on the test set of an arm."""
    return {
        job["seed"]: {clip: s[metric] for clip, s in job["test"].items()}
        for job in read(name)[2]
        if (job["arm"], job["purpose"]) == (arm, "report")
    }


def difference_by_hand(name, arm, baseline, metric):
    """Mean over seeds and clips, paired, without the package."""
    ours = scores_of(name, arm, metric)
    theirs = scores_of(name, baseline, metric)
    undefined = {
        clip
        for system in read(name)[1].values()
        for clip, scores in system["test"].items()
        if scores[metric] is None
    }
    return fmean(
        fmean(
            ours[seed][clip] - theirs[seed][clip]
            for clip in ours[seed].keys() - undefined
        )
        for seed in ours.keys() & theirs.keys()
    )


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_the_tables_of_the_results(page):
    assert TOOL["with_tables"](PAGES[page]) == PAGES[page], (
        "run python benchmarks/evidence.py --update"
    )


def test_every_comparison_has_its_table():
    assert {found["name"] for found in TABLES} == {p.stem for p in FILES}
    assert (SUMMARY["name"], OTHERS) == (TOOL["SUMMARY"], [])


def test_the_summary_has_the_gains_of_the_scores():
    rows = SUMMARY["table"].splitlines()[2:]
    for row, (name, *_) in zip(rows, TOOL["PAIRS"], strict=True):
        cells = [cell.split() for cell in row.split("|")]
        for cell, arm in ((cells[4], "dfkd"), (cells[5], "recommended")):
            own = difference_by_hand(name, arm, "none", "pesq_wb")
            assert float(cell[0]) == pytest.approx(own, abs=6.1e-4)


@each_table
def test_differences_are_those_of_the_scores(found):
    baseline = read(found["name"])[0]["baseline"]
    rows = list(ROW.finditer(found["table"]))
    assert len(rows) > 1
    for row in rows:
        # seeds, PESQ, its difference, SI-SDR, its difference, STOI
        cells = [cell.split() for cell in row["cells"].split("|")]
        shown = {"pesq_wb": cells[2][0], "si_sdr": cells[4][0]}
        for metric in METRICS:
            if row["arm"] == baseline:
                assert shown[metric] == "-"
                continue
            own = difference_by_hand(
                found["name"], row["arm"], baseline, metric
            )
            decimals = len(shown[metric].split(".")[1])
            bound = 0.51 * 10.0**-decimals + 1e-4  # both are rounded
            assert float(shown[metric]) == pytest.approx(own, abs=bound)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("evidence", r"\+(\S+) over no distillation for DCCRN"),
        ("evidence_conv_tasnet", r"\+(\S+) for Conv-TasNet"),
        ("evidence_cross_family", r"a Conv-TasNet \+(\S+) with a DCCRN"),
    ],
)
def test_the_recommended_objective_states_what_it_gained(name, statement):
    own = difference_by_hand(name, "recommended", "none", "pesq_wb")
    path = ROOT / "hparams/kd/recommended.yaml"
    stated = re.search(statement, path.read_text())
    assert float(stated[1]) == pytest.approx(own, abs=0.005)


@each_validation_table
def test_scores_on_validation_are_the_best_of_the_tuning(found):
    comparison, _, all_jobs = read(found["name"])
    rows = list(ROW.finditer(found["table"]))
    assert len(rows) > 1
    for row in rows:
        means = [
            fmean(c["pesq_wb"] for c in job["valid"].values())
            for job in all_jobs
            if job["arm"] == row["arm"]
            and job["seed"] == comparison["tuning_seed"]
        ]
        shown = float(row["cells"].split("|")[1])
        assert shown == pytest.approx(max(means), abs=6e-4)


@each_file
def test_the_results_are_whole(path):
    assert TOOL["load"](path.stem).missing() == []


@each_file
def test_the_results_are_small_and_of_no_single_machine(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        assert len(line) < 200_000, path
        foreign = re.findall(r"(?<![\w.])/(?:work|home|root|tmp)\S*", line)
        assert not foreign, path


def test_unpacked_results_are_taken_over_as_they_were(tmp_path, monkeypatch):
    TOOL["unpack"](tmp_path)
    (tmp_path / "again").mkdir()
    monkeypatch.setitem(
        TOOL["collect"].__globals__, "EVIDENCE", tmp_path / "again"
    )
    for path in FILES:
        assert TOOL["collect"](tmp_path / path.stem, {}).read_text() == (
            path.read_text()
        )
