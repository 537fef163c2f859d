"""Objectives on the command line: which need a teacher, and which cannot."""

import pytest
from recipe_runs import assert_refused, dfkd_options

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "kd, changes, term",
    [
        ("none", {}, "l_se: "),
        ("mssp_positive", {"clean_as_teacher": True}, "selected_share: "),
    ],
)
def test_runs_without_a_teacher(succeed, corpus, tmp_path, kd, changes, term):
    options = dfkd_options(
        corpus,
        tmp_path,
        number_of_epochs=1,
        kd=f"!include:kd/{kd}.yaml",
        teacher_ckpt="/nowhere",  # not looked at
        **changes,
    )
    stdout = succeed(options)
    assert "Teacher not found" not in stdout
    (folder,) = tmp_path.glob(f"dccrn_eighth-from-*/{kd}_1.0-seed_1234*")
    assert not (tmp_path / "teachers").exists()
    log = (folder / "train_log.txt").read_text()
    assert term in log and ("l_kd: " in log) == (kd != "none")


def test_features_of_another_family_are_learnt(succeed, finished):
    kd = "{student_features: [block.3, mask]}"
    options = finished.options(
        number_of_epochs=1,
        student="!include:models/conv_tasnet_tiny.yaml",
        kd=f"!include:kd/frame_similarity.yaml {kd}",
    )
    stdout = succeed(options)
    assert f"Teacher found: {finished.teacher}" in stdout
    (folder,) = finished.results.glob("conv_tasnet_tiny-from-*/*")
    log = (folder / "train_log.txt").read_text()
    assert "l_block.3: " in log and "l_mask: " in log


def test_features_that_a_network_lacks_are_refused(call, corpus, tmp_path):
    options = dfkd_options(
        corpus,
        tmp_path,
        student="!include:models/conv_tasnet_tiny.yaml",
        kd="!include:kd/frame_similarity.yaml",
    )
    fragments = ["student_features must be among encoder, block.0", "rnn"]
    assert_refused(*call(options), fragments, tmp_path)
