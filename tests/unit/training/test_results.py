"""Scores are kept, as long as they are all that the results name."""

import json

import pytest
from small_brain import Filter

from speechbrain_dfkd.evaluation.metrics import METRICS
from speechbrain_dfkd.evaluation.scoring import Scores
from speechbrain_dfkd.training.systems import SystemTester


@pytest.fixture
def tester(tmp_path, monkeypatch):
    """Return a SystemTester that counts its tests and enhances nothing."""
    manifest = tmp_path / "test.json"
    entry = {"noisy_wav": "n.wav", "clean_wav": "c.wav", "length": 1.0}
    manifest.write_text(json.dumps({"a": entry}))
    hparams = {"test_annotation": manifest, "save_enhanced": False}
    tester = SystemTester(hparams, type("Options", (), {"debug": False}), None)
    tester.tests = 0

    def score(system, model, saves):
        tester.tests += 1
        row = dict.fromkeys(METRICS, 0.5)
        return Scores({"a": row}, {metric: {} for metric in METRICS})

    monkeypatch.setattr(tester, "_score", score)
    return tester


def test_a_repeated_command_finds_its_scores(tester, tmp_path):
    first = tester.scores("student", Filter(1), tmp_path)
    assert tester.scores("student", Filter(1), tmp_path) == first
    assert tester.tests == 1
    tester.scores("student", Filter(2), tmp_path)
    assert tester.tests == 2


def test_scores_of_before_a_metric_are_made_again(tester, tmp_path):
    whole = tester.scores("student", Filter(1), tmp_path)
    (path,) = tmp_path.glob("test_scores*.json")
    content = json.loads(path.read_text())
    del content["rows"]["a"]["correlation"]
    del content["undefined"]["correlation"]
    path.write_text(json.dumps(content))
    assert tester.scores("student", Filter(1), tmp_path) == whole
    assert tester.tests == 2
    assert Scores.load(path) == whole
