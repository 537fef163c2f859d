"""Comparisons with made-up scores."""

import pytest

from speechbrain_dfkd.comparison.comparison_results import ComparisonResults
from speechbrain_dfkd.comparison.job_results import JobResult

PLAN = {
    "name": "objectives",
    "baseline": "none",
    "arms": {"none": {"kd_weight": 0}, "dfkd": {"kd": "!include:kd/dfkd.yaml"}},
    "seeds": [1, 2, 3],
    "tuning_seed": 100,
    "gradient_ratios": [],
    "learning_rates": [],
    "tune_on": "pesq_wb",
    "side_by_side": 1,
    "gate": {"pesq_wb": 0.05, "si_sdr": 0.0},
    "confidence": 0.95,
    "bootstrap_draws": 1000,
    "snr_edges_db": [0, 10],
    "settings": {"batch_size": 4},
    "command": "python recipes/VoiceBank/compare.py a.yaml b.yaml",
}


def scores(values, offset=0.0):
    """Return ``{utterance: {metric: value}}`` of PESQ values; None stays."""
    return {
        f"u{index}": {
            "pesq_wb": None if value is None else value + offset,
            "stoi": None if value is None else (value + offset) / 5,
            "si_sdr": None if value is None else 10 * (value + offset) - 15,
        }
        for index, value in enumerate(values)
    }


def job(arm, seed, values, purpose="report", setting=None, offset=0.0):
    """Return a job whose validation and test scores are the same."""
    found = scores(values, offset)
    test = found if purpose == "report" else {}
    return JobResult(
        arm, seed, purpose, setting or {}, found, test, 800, 0.5, "command"
    )


@pytest.fixture
def make_results():
    """Return ``make(jobs, noisy, teacher, **plan)``."""

    def make(jobs, noisy=(1.0, 1.5, 2.0), teacher=(3.0, 3.0, 3.0), **plan):
        systems = {
            name: {"valid": scores(values), "test": scores(values)}
            for name, values in (("noisy", noisy), ("teacher", teacher))
        }
        return ComparisonResults({**PLAN, **plan}, jobs, systems)

    return make
