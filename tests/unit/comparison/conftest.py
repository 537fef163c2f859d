"""Comparisons with made-up scores."""

from dataclasses import asdict, fields

import pandas as pd
import pytest

from speechbrain_dfkd.comparison.analysis import Row, all_rows
from speechbrain_dfkd.comparison.results import (
    COMPARISON_FILE,
    ComparisonResults,
    Job,
    JobResult,
    save_json,
)

PLAN = {
    "name": "objectives",
    "baseline": "none",
    "arms": {"none": {"kd_weight": 0}, "dfkd": {}, "clean": {}},
    "seeds": [1, 2, 3],
    "arm_seeds": {},
    "tuning_seed": 100,
    "gradient_ratios": [],
    "learning_rates": [],
    "tune_on": "pesq_wb",
    "side_by_side": 1,
    "gate": {"pesq_wb": 0.5, "si_sdr": 0.0},
    "confidence": 0.95,
    "bootstrap_draws": 200,
    "snr_edges_db": [0, 10],
    "settings": {"batch_size": 4},
    "command": "python recipes/VoiceBank/compare.py a.yaml b.yaml",
}


class Numbers:
    """The rows of a comparison, by what they are; None where they have NaN."""

    def __init__(self, results):
        self.rows = [
            Row(*(None if pd.isna(value) else value for value in row))
            for row in all_rows(results).itertuples(index=False)
        ]

    def all(self, quantity, system=None):
        return [
            row
            for row in self.rows
            if row.quantity == quantity and system in (None, row.system)
        ]

    def get(self, quantity, system, metric="", condition=""):
        """Return the one row, or None."""
        found = [
            row
            for row in self.all(quantity, system)
            if (row.metric, row.condition) == (metric, condition)
        ]
        (row,) = found or [None]
        return row


@pytest.fixture
def index_of():
    """Return ``index_of(results)``, their ``Numbers``."""
    return Numbers


def as_scores(values):
    """Return ``{clip: scores}``: PESQ as given, SI-SDR 10 dB a point."""
    return {
        clip: {
            "pesq_wb": value,
            "stoi": None if value is None else value / 8,
            "si_sdr": None if value is None else 10 * value - 15,
        }
        for clip, value in zip("abcdefgh", values, strict=False)
    }


@pytest.fixture(name="as_scores")
def as_scores_fixture():
    """Return ``as_scores(values)``."""
    return as_scores


@pytest.fixture
def job():
    """Return ``job(arm, seed, values)``, a result; PESQ of its clips."""

    def make(
        arm, seed, values, purpose="report", setting=None, seconds=0.5,
        kd_weight=None,
    ):  # fmt: skip
        scores = as_scores(values)
        test = scores if purpose == "report" else {}
        return JobResult(
            arm, seed, purpose, setting or {}, scores, test, 800, seconds,
            "run", kd_weight,
        )  # fmt: skip

    return make


@pytest.fixture
def results():
    """Return ``results(jobs, noisy, teacher, **plan)`` of three clips."""

    def make(
        jobs,
        noisy=(1.0, 1.5, 2.0),
        teacher=(3.0, 3.0, 3.0),
        against=None,
        **plan,
    ):
        systems = {
            name: {"valid": as_scores(values), "test": as_scores(values)}
            for name, values in (("noisy", noisy), ("teacher", teacher))
            if values
        }
        return ComparisonResults({**PLAN, **plan}, jobs, systems, against)

    return make


@pytest.fixture
def written_run(tmp_path):
    """Return ``written_run(result)``: the folder of that training."""

    def write(result):
        content = asdict(result)
        job = {entry.name: content.pop(entry.name) for entry in fields(Job)}
        scores = {split: content.pop(split) for split in ("valid", "test")}
        if result.purpose == "tuning":
            del scores["test"]
        folder = tmp_path / "runs" / result.name
        save_json(folder / "job.json", job)
        content = {"rows": [], "scores": {"student": scores}, **content}
        save_json(folder / "results.json", content)
        return folder

    return write


@pytest.fixture
def written(tmp_path, written_run):
    """Return ``written(results)``: the folder that holds them."""

    def write(results):
        save_json(tmp_path / COMPARISON_FILE, results.comparison)
        if results.systems:
            teacher = {"scores": results.systems}
            save_json(tmp_path / "teacher/results.json", teacher)
        for job in results.jobs:
            written_run(job)
        return tmp_path

    return write
