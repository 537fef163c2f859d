"""A run that is killed twice ends as one that was never interrupted."""

import csv
import re
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from every_loss import DEVICES
from recipe_runs import (
    DFKD,
    MIXTURES,
    SHORT,
    SIZES,
    STUDENT_FOLDER,
    STUDENT_NETWORK,
    TEACHER_FOLDER,
    WEIGHTS,
    dfkd_options,
    start,
)

pytestmark = pytest.mark.slow

EVERY_STEP = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}


def steps_made(folder: Path) -> int:
    """Return the steps in a training's newest checkpoint, 0 without one."""
    counts = [0]
    for path in folder.glob("save/CKPT*/CKPT.yaml"):
        try:
            text = path.with_name("brain.ckpt").read_text()
        except FileNotFoundError:  # a newer checkpoint replaced it just now
            continue
        counts += map(int, re.findall(r"optimizer_step: (\d+)", text))
    return max(counts)


def kill_at_step(step: int, arguments, folder: Path, script=DFKD) -> str:
    """Kill the script when the training in ``folder`` has made some steps.

    Returns what it printed to stdout until then.
    """
    with tempfile.TemporaryFile() as errors:
        process = start(script, arguments, stderr=errors)
        deadline = time.monotonic() + 200
        while steps_made(folder) < step and process.poll() is None:
            assert time.monotonic() < deadline, "too few steps"
            time.sleep(0.002)
        process.kill()
        stdout, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before"
    assert steps_made(folder) < 14, "this was not within the training"
    return stdout


def whole_run(device, request, succeed, corpus, folder) -> SimpleNamespace:
    """Return the folders of a run on a device that was not interrupted."""
    if device == "cpu":
        return request.getfixturevalue("finished")
    succeed(dfkd_options(corpus, folder, device=device))
    folders = folder / TEACHER_FOLDER, folder / STUDENT_FOLDER
    return SimpleNamespace(teacher=folders[0], student=folders[1])


def assert_close(ours: Path, whole: Path) -> None:
    """Compare runs on a GPU, where sums are not the same twice."""
    weights = torch.load(ours / WEIGHTS, map_location="cpu", weights_only=True)
    assert all(value.isfinite().all() for value in weights.values())
    tables = []
    for folder in (ours, whole):
        with open(folder / "results.csv", encoding="utf-8") as stream:
            tables.append(list(csv.DictReader(stream)))
    for row, expected in zip(*tables, strict=True):
        for name in ("pesq_wb", "stoi"):
            assert float(row[name]) == pytest.approx(
                float(expected[name]), abs=0.01
            )


@pytest.mark.parametrize("device", DEVICES)
def test_killed_run_ends_with_the_same_weights(
    succeed, request, corpus, tmp_path, device
):
    whole_folders = whole_run(
        device, request, succeed, corpus, tmp_path / "whole"
    )
    results = tmp_path / "results"
    teacher, student = results / TEACHER_FOLDER, results / STUDENT_FOLDER
    arguments = dfkd_options(corpus, results, **EVERY_STEP, device=device)

    kill_at_step(3, arguments, teacher)
    assert not (teacher / WEIGHTS).exists()
    second = kill_at_step(10, arguments, student)
    assert "Teacher not found" in second, "half a teacher is none"
    assert "Loading a checkpoint" in second.split("Going into epoch")[0]
    assert not (student / WEIGHTS).exists()
    assert not (student / "results.csv").exists()

    third = succeed(arguments)
    assert "Teacher found" in third
    assert "Going into epoch 1" not in third
    for ours, whole in (
        (teacher, whole_folders.teacher),
        (student, whole_folders.student),
    ):
        assert_close(ours, whole)
        if device != "cpu":
            continue
        weights = torch.load(ours / WEIGHTS, weights_only=True)
        expected = torch.load(whole / WEIGHTS, weights_only=True)
        assert weights.keys() == expected.keys()
        for key, value in weights.items():
            assert torch.equal(value, expected[key]), key
        for name in ("train_log.txt", "results.csv"):
            assert (ours / name).read_text() == (whole / name).read_text()
    if device == "cpu":
        name = "crossover_histogram.csv"
        expected = (whole_folders.student / name).read_text()
        assert (student / name).read_text() == expected


def test_mixtures_go_on_with_any_number_of_workers(
    succeed, dns_corpus, tmp_path
):
    """Killed within an epoch, with other workers before and after."""
    script = ("recipes/DNS/train_dfkd.py", DFKD[1])
    own = {"kd_weight": 0, "dataset": MIXTURES, **EVERY_STEP}
    student = STUDENT_FOLDER.replace("dfkd_1.0", "dfkd_0")

    def arguments(results, workers):
        return dfkd_options(dns_corpus, results, **own, num_workers=workers)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    succeed(arguments(whole, 0), recipe="DNS")
    kill_at_step(3, arguments(killed, 1), killed / student, script)
    succeed(arguments(killed, 2), recipe="DNS")
    logs = [folder / student / "train_log.txt" for folder in (whole, killed)]
    assert logs[0].read_text() == logs[1].read_text()
    weights = [
        torch.load(folder / student / WEIGHTS, weights_only=True)
        for folder in (whole, killed)
    ]
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_a_found_teacher_goes_on_to_the_epochs_asked_for(
    call, corpus, tmp_path
):
    options = {"number_of_epochs": 1, "teacher": STUDENT_NETWORK}
    folder = tmp_path / "teachers/dccrn_eighth-seed_1234"
    alone = dfkd_options(corpus, tmp_path, **options, teacher_overrides=SHORT)
    assert call(alone)[0] == 0
    assert len((folder / "train_log.txt").read_text().splitlines()) == 1
    longer = {**options, "run": "longer"}
    again = dfkd_options(corpus, tmp_path, **longer, teacher_overrides=SIZES)
    code, stdout, _ = call(again)
    assert code == 0
    assert "Teacher found, trained for 1 of 2 epochs; going on" in stdout
    assert len((folder / "train_log.txt").read_text().splitlines()) == 2
    code, stdout, _ = call(again)
    assert code == 0 and f"Teacher found: {folder}\n" in stdout
