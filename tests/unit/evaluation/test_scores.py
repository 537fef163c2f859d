"""Scores have exact means and counts, and survive a file."""

import os

import pytest

from speechbrain_dfkd.evaluation.scoring import Scores


def test_means_leave_out_what_is_undefined():
    scores = Scores(
        {
            "a": {"stoi": 0.25, "si_sdr": None},
            "b": {"stoi": 0.75, "si_sdr": None},
            "c": {"stoi": None, "si_sdr": None},
        },
        {"stoi": {"c": "why"}, "si_sdr": dict.fromkeys("abc", "why")},
    )
    assert scores.summary() == {
        "stoi": 0.5,
        "si_sdr": None,
        "utterances": 3,
        "undefined": 4,
    }
    assert Scores().summary() == {"utterances": 0, "undefined": 0}


def test_scores_survive_a_file(tmp_path):
    scores = Scores(
        {"a": {"stoi": 0.1 + 0.2}, "b": {"stoi": None}}, {"stoi": {"b": "why"}}
    )
    scores.save(tmp_path / "scores.json")
    assert Scores.load(tmp_path / "scores.json") == scores


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    Scores({"a": {"stoi": 0.5}}, {"stoi": {}}).save(path)
    before = path.read_text()

    def disk_error(source, target):
        assert target == path and os.path.exists(source)
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", disk_error)
    with pytest.raises(OSError, match="disk"):
        Scores().save(path)
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["scores.json"]
    # A NaN is no JSON: it must not reach the file either.
    with pytest.raises(ValueError):
        Scores({"a": {"stoi": float("nan")}}, {"stoi": {}}).save(path)


def test_the_file_of_scores_has_a_line_for_each_value(tmp_path):
    path = tmp_path / "scores.json"
    Scores({"a": {"stoi": 0.5}}, {"stoi": {}}).save(path)
    assert path.read_text() == (
        '{\n "rows": {\n  "a": {\n   "stoi": 0.5\n  }\n },\n'
        ' "undefined": {\n  "stoi": {}\n }\n}'
    )
