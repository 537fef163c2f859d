"""A run from nothing, and what the same and other commands make of it."""

import csv
import json
import re

import numpy as np
import pytest
import soundfile
import torch
from recipe_runs import (
    SHORT,
    TEACHER,
    TEACHER_FOLDER,
    WEIGHTS,
    dfkd_options,
    finish,
    teacher_options,
    trained_files,
)

from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.run_folder import COLUMNS


def rows(folder):
    """Return {system: {column: text}} of results.csv."""
    with (folder / "results.csv").open(newline="") as stream:
        return {row["system"]: row for row in csv.DictReader(stream)}


def table(stdout):
    """Return the lines of the results table, which ends the output."""
    lines = stdout[stdout.rindex("system ") :].splitlines()
    return lines[: lines.index("")]


def content(folder):
    """Return {name: bytes} of what a training leaves."""
    files = [path for path in trained_files(folder) if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


def test_announces_its_settings_and_no_demo(finished):
    assert "DEMO" not in finished.stdout
    sources = re.search("Settings, later ones win: (.*)", finished.stdout)[1]
    parts = [part.split("/")[-1] for part in sources.split(" < ")]
    assert parts == ["dccrn_dfkd.yaml", "voicebank.yaml", "the command line"]


def test_results_have_a_row_for_each_system(finished):
    assert [line.split()[0] for line in table(finished.stdout)] == [
        *("system", "noisy", "teacher", "student")
    ]
    read = rows(finished.student)
    assert list(read) == ["noisy", "teacher", "student"]
    for row in read.values():
        assert list(row) == list(COLUMNS)
        assert row["utterances"] == "3"
        assert 1 <= float(row["pesq_wb"]) <= 4.65
        assert 0 < float(row["stoi"]) <= 1
        assert np.isfinite(float(row["si_sdr"]))
        assert float(row["correlation"]) > 0, "none is the negative"
    assert read["noisy"]["parameters"] == ""
    assert abs(float(read["noisy"]["gain_db"])) < 0.5, "noise is uncorrelated"
    stored = json.loads((finished.student / "results.json").read_text())
    for row in stored["rows"]:
        text = {k: "" if v is None else str(v) for k, v in row.items()}
        assert text == read[row["system"]]


def test_results_count_the_parameters_of_the_networks(finished):
    sizes = {
        "teacher": DCCRN([4, 8, 16, 32, 32, 32], lstm_units=32),
        "student": DCCRN([2, 4, 8, 16, 16, 16], lstm_units=16),
    }
    for system, model in sizes.items():
        count = sum(weight.numel() for weight in model.parameters())
        assert rows(finished.student)[system]["parameters"] == str(count)


def test_teacher_is_trained_in_a_folder_of_its_own(finished):
    assert f"training it into {finished.teacher}" in finished.stdout
    assert list(rows(finished.teacher)) == ["noisy", "teacher"]
    of_student = rows(finished.student)
    for system, row in rows(finished.teacher).items():
        assert row == of_student[system]
    log = (finished.teacher / "train_log.txt").read_text()
    assert log.count("train l_se: ") == 2
    assert "l_kd" not in log


def test_log_holds_both_bands_and_the_crossover(finished):
    lines = (finished.student / "train_log.txt").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        values = dict(re.findall(r"(?:train|valid) (\S+): ([-+.e\d]+)", line))
        terms = {key: float(value) for key, value in values.items()}
        assert terms["l_low"] + terms["l_high"] == pytest.approx(
            terms["l_kd"], abs=0.011
        )
        quantiles = [
            terms[f"crossover_histogram_p{p}_hz"] for p in (10, 50, 90)
        ]
        assert 0 <= quantiles[0] <= quantiles[1] <= quantiles[2] <= 8000
        assert {"l_se", "pesq_wb", "stoi", "si_sdr", "gain_db"} <= terms.keys()


def test_histogram_counts_every_frame_of_an_epoch(finished):
    path = finished.student / "crossover_histogram.csv"
    with path.open(newline="") as stream:
        header, *epochs = csv.reader(stream)
    assert header[:2] == ["epoch", "0"] and header[-1] == "8000"
    assert [row[0] for row in epochs] == ["1", "2"]
    frames = [sum(map(int, row[1:])) for row in epochs]
    assert frames[0] == frames[1]
    # 26 crops of 0.5 s, a frame every 128 samples.
    assert frames[0] == pytest.approx(26 * 8000 / 128, rel=0.05)


def test_checkpoints_hold_no_teacher(finished):
    size = (finished.teacher / WEIGHTS).stat().st_size
    checkpoints = list((finished.student / "save").glob("CKPT*/*"))
    assert any(path.name == "student.ckpt" for path in checkpoints)
    for path in checkpoints:
        # Adam keeps two numbers for each of the student's weights.
        assert path.stat().st_size < size
        # A hash, and a number for its output.
        assert "teacher" not in path.name or path.stat().st_size <= 64


def test_same_command_again_trains_nothing(succeed, finished):
    before = content(finished.results)
    stdout = succeed(finished.options())
    assert f"Teacher found: {finished.teacher}" in stdout
    assert "Going into epoch" not in stdout
    assert "Testing" not in stdout
    assert table(stdout) == table(finished.stdout)
    assert content(finished.results) == before


def test_train_teacher_knows_the_teacher_of_train_dfkd(finished, corpus):
    before = content(finished.results)
    stdout = finish(TEACHER, teacher_options(corpus, finished.results))
    assert "Going into epoch" not in stdout
    assert table(stdout) == table(finished.stdout)[:-1]
    assert content(finished.results) == before


def test_saved_files_are_what_was_scored(succeed, finished, corpus):
    options = finished.options(save_enhanced=True)
    stdout = succeed([*options, "--test_only"])
    assert "Going into epoch" not in stdout
    assert table(stdout) == table(finished.stdout)
    clean_folder = corpus / "clean_testset_wav_16k"
    names = sorted(path.name for path in clean_folder.iterdir())
    for system in ("teacher", "student"):
        folder = finished.student / system
        assert sorted(path.name for path in folder.iterdir()) == names
        ratios = []
        for name in names:
            clean, _ = soundfile.read(clean_folder / name)
            enhanced, rate = soundfile.read(folder / name)
            assert (rate, len(enhanced)) == (16000, len(clean))
            clean, enhanced = clean - clean.mean(), enhanced - enhanced.mean()
            cosine = (
                clean
                @ enhanced
                / np.sqrt((clean @ clean) * (enhanced @ enhanced))
            )
            ratios.append(10 * np.log10(cosine**2 / (1 - cosine**2)))
        expected = float(rows(finished.student)[system]["si_sdr"])
        assert np.mean(ratios) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_without_weight_there_is_no_teacher(
    succeed, finished, corpus, tmp_path
):
    """The student is the same whether its teacher is trained now, or absent.

    A weight that no float32 sum can notice makes the teacher's presence the
    only difference: the same first weights, also in their sign, batches and
    crops remain.
    """
    short = {"number_of_epochs": 1, "seed": 7}
    alone = succeed(finished.options(**short, kd_weight=0))
    options = dfkd_options(
        *(corpus, tmp_path),
        **short,
        kd_weight="1.0e-30",
        teacher_overrides=SHORT,
    )
    followed = succeed(options)
    assert "Teacher not found" in followed
    assert "Going into epoch 1" in alone and "Going into epoch 1" in followed
    assert "Teacher found" not in alone and "Teacher not" not in alone
    assert [line.split()[0] for line in table(alone)] == [
        *("system", "noisy", "student")
    ]
    parent = "dccrn_eighth-from-dccrn_quarter"
    alone_folder = finished.results / parent / "dfkd_0-seed_7"
    assert rows(alone_folder)["noisy"] == rows(finished.student)["noisy"]
    followed_run = "dfkd_1e-30-seed_7"
    weights = [
        torch.load(folder / WEIGHTS, weights_only=True)
        for folder in (alone_folder, tmp_path / parent / followed_run)
    ]
    assert (tmp_path / TEACHER_FOLDER / WEIGHTS).is_file()
    assert "l_kd" not in (alone_folder / "train_log.txt").read_text()
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


@pytest.mark.slow
def test_debug_leaves_nothing_that_looks_real(succeed, corpus, tmp_path):
    stdout = succeed([*dfkd_options(corpus, tmp_path), "--debug"])
    assert "student" in table(stdout)[-1]
    left = [path.relative_to(tmp_path) for path in trained_files(tmp_path)]
    assert left and all("debug" in path.parts for path in left)
    # Few utterances must not pass for the scores of the test set later.
    scores = list((tmp_path / "data").glob("test_scores*"))
    assert scores and all("debug" in path.name for path in scores)
