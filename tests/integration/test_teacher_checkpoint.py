"""Which teachers train_dfkd.py takes by --teacher_ckpt."""

import shutil

import pytest
from recipe_runs import assert_refused, dfkd_options


def test_teacher_that_is_no_checkpoint_is_refused(call, corpus, tmp_path):
    path = tmp_path / "teacher.ckpt"
    path.write_bytes(b"PK\x03\x04 half a download")
    results = tmp_path / "results"
    outcome = call(dfkd_options(corpus, results, teacher_ckpt=path))
    assert_refused(*outcome, ["teacher_ckpt", str(path)], results)


@pytest.mark.slow
def test_teacher_of_another_size_is_refused(call, finished, corpus, tmp_path):
    path = tmp_path / "bare.ckpt"
    shutil.copy(finished.teacher / "enhancer/enhance_model.ckpt", path)
    results = tmp_path / "results"
    other = {"teacher": "!include:models/dccrn_half.yaml"}
    first = "shape of mask_net.encoder.0"
    outcome = call(dfkd_options(corpus, results, **other, teacher_ckpt=path))
    assert_refused(*outcome, [first, "--teacher '!include:"], results)
    path = finished.teacher
    outcome = call(dfkd_options(corpus, results, **other, teacher_ckpt=path))
    fragments = ["channels: [4, 8, 16, 32, 32, 32] there", "set teacher to"]
    assert_refused(*outcome, fragments, results)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [".", "enhancer", "enhancer/enhance_model.ckpt"]
)
def test_teacher_is_found_in_each_form(call, finished, form):
    """A resume accepts it: it is the teacher that the student had."""
    path = finished.teacher / form
    code, stdout, stderr = call(finished.options(teacher_ckpt=path))
    assert code == 0, stderr
    assert "Teacher" not in stdout.split("system")[0]
    assert "student" in stdout


@pytest.mark.slow
def test_a_folder_needs_no_teacher_beside_it(call, finished):
    """A resume accepts it: it is the network that the student had."""
    options = finished.options(teacher_ckpt=finished.teacher)
    place = options.index("--teacher")
    del options[place : place + 2]
    code, stdout, stderr = call(options)
    assert code == 0, stderr
    assert "Teacher: dccrn_quarter, as" in stdout
    assert "student" in stdout
