"""A comparison has one teacher."""

import pytest

from speechbrain_dfkd.comparison.comparison import Comparison
from speechbrain_dfkd.comparison.results import (
    COMPARISON_FILE,
    load_json,
    save_json,
)
from speechbrain_dfkd.errors import UserError

FIRST, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def keep(tmp_path):
    """Return ``keep(before, own, results)``: which teacher is then kept."""

    def keep_teacher(before, own, results):
        path = tmp_path / COMPARISON_FILE
        save_json(path, {"teacher": before})
        scored = {"teacher_fingerprint": own, "scores": {}}
        save_json(tmp_path / "teacher/results.json", scored)
        comparison = Comparison.__new__(Comparison)
        comparison.folder, comparison.results = tmp_path, results
        comparison._keep_teacher(scored)
        return load_json(path)["teacher"]

    return keep_teacher


def test_the_first_teacher_is_kept(keep, tmp_path):
    assert keep(None, FIRST, []) == FIRST
    assert keep(FIRST, FIRST, ["a result"]) == FIRST
    assert keep(FIRST, OTHER, []) == OTHER  # nothing was learnt from the first
    assert (tmp_path / "teacher/results.json").exists()


@pytest.mark.parametrize(
    ("before", "found"), [(OTHER, "those of bbbb"), (None, "an unknown one")]
)
def test_results_of_another_teacher_are_refused(keep, before, found, tmp_path):
    with pytest.raises(UserError, match=f"got aaaaaaaaaaaa where .*{found}"):
        keep(before, FIRST, ["a result"])
    assert not (tmp_path / "teacher/results.json").exists()
