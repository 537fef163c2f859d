"""README.md says what the committed results of the comparisons say."""

import json
import re
import runpy
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "benchmarks/evidence.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = sorted((ROOT / "benchmarks/evidence").iterdir())
TABLES = list(TOOL["MARKED"].finditer(README))
ROW = re.compile(r"\| `(?P<arm>\w+)` \|(?P<cells>.*)\|")
METRICS = ("pesq_wb", "si_sdr")  # the table has their differences

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
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


def scores_of(folder, arm, metric):
    """Return ``{seed: {clip: score}}`` on the test set of an arm."""
    jobs = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / "jobs").glob(f"{arm}-*.json")
    ]
    return {
        job["seed"]: {clip: s[metric] for clip, s in job["test"].items()}
        for job in jobs
        if (job["arm"], job["purpose"]) == (arm, "report")
    }


def difference_by_hand(folder, arm, baseline, metric):
    """Mean over seeds and clips, paired, without the package."""
    ours = scores_of(folder, arm, metric)
    theirs = scores_of(folder, baseline, metric)
    systems = json.loads((folder / "systems.json").read_text(encoding="utf-8"))
    undefined = {
        clip
        for system in systems.values()
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


def test_readme_has_the_tables_of_the_results():
    assert TOOL["with_tables"](README) == README, (
        "run python benchmarks/evidence.py --update"
    )
    assert {found["name"] for found in TABLES} == {p.name for p in FOLDERS}


@each_table
def test_differences_in_the_readme_are_those_of_the_scores(found):
    folder = ROOT / "benchmarks/evidence" / found["name"]
    comparison = json.loads((folder / "comparison.json").read_text())
    baseline = comparison["baseline"]
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
            own = difference_by_hand(folder, row["arm"], baseline, metric)
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
    folder = ROOT / "benchmarks/evidence" / name
    own = difference_by_hand(folder, "recommended", "none", "pesq_wb")
    path = ROOT / "hparams/kd/recommended.yaml"
    stated = re.search(statement, path.read_text())
    assert float(stated[1]) == pytest.approx(own, abs=0.005)


@each_validation_table
def test_scores_on_validation_are_the_best_of_the_tuning(found):
    folder = ROOT / "benchmarks/evidence" / found["name"]
    seed = json.loads((folder / "comparison.json").read_text())["tuning_seed"]
    rows = list(ROW.finditer(found["table"]))
    assert len(rows) > 1
    for row in rows:
        jobs = (folder / "jobs").glob(f"{row['arm']}-*seed_{seed}.json")
        means = [
            fmean(c["pesq_wb"] for c in job["valid"].values())
            for job in (json.loads(path.read_text()) for path in jobs)
            if job["arm"] == row["arm"]
        ]
        shown = float(row["cells"].split("|")[1])
        assert shown == pytest.approx(max(means), abs=6e-4)


@each_folder
def test_the_results_are_whole(folder):
    assert TOOL["ComparisonResults"].load(folder).missing() == []


@each_folder
def test_the_results_are_small_and_of_no_single_machine(folder):
    for path in folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert len(text) < 200_000, path
        foreign = re.findall(r"(?<![\w.])/(?:work|home|root|tmp)\S*", text)
        assert not foreign, path
