"""The report is made from the folder's files, and says what it lacks."""

import copy
import csv

import pytest

from speechbrain_dfkd.comparison.__main__ import main
from speechbrain_dfkd.comparison.report import (
    markdown_table,
    number,
    write_comparison_report,
)
from speechbrain_dfkd.errors import UserError

ENDS = ("md", "csv", "png")
FILES = tuple(f"report.{end}" for end in ENDS)


@pytest.fixture
def jobs(job):
    gains = {"none": 0.0, "dfkd": 0.1, "clean": -0.1}
    return [
        job(arm, seed, [1 + by, 1.5 + by, 2 + by + seed / 100 * by])
        for arm, by in gains.items()
        for seed in (1, 2, 3)
    ]


def section(report, name):
    return report.split(f"## {name}\n")[1].split("\n## ")[0]


def test_a_table_is_of_githubs_markdown():
    table = markdown_table(["arm", "p"], [["dfkd", 0.5]])
    assert table == "| arm | p |\n|---|---|\n| dfkd | 0.5 |"


def test_a_number_is_rounded_as_in_the_results_table():
    assert number("pesq_wb", 0.12345, sign=True) == "+0.123"
    assert number("si_sdr", -1.0) == "-1.00"


def test_a_whole_comparison_needs_no_excuse(results, jobs, written):
    folder = written(results(jobs))
    report = write_comparison_report(folder)
    assert report.startswith("# Comparison objectives\n")
    assert "INCOMPLETE" not in report
    assert "the same seeds" not in report
    assert report == (folder / "report.md").read_text()
    means = section(report, "Test set")
    assert "| teacher | 3.000 | 0.3750 | 15.00 | - |" in means
    assert "| none | 1.500 [1.500, 1.500] |" in means
    differences = section(report, "Difference to none")
    assert (
        "| dfkd | +0.101 [+0.100, +0.101] | < 0.001 | < 0.001 |" in differences
    )
    assert "**SI-SDR [dB]**" in differences
    classes = section(report, "By SI-SDR of the noisy clip")
    assert "| system | below 0 dB, 1 clips | 0 to 10 dB, 2 clips |" in classes
    assert "| dfkd | 1.100 (+0.100 [" in classes
    gate = section(report, "The gate")
    assert "| PESQ-WB | +1.500 [+1.500, +1.500] | +0.500 | yes |" in gate
    assert "| dfkd | 800 | 0.500 | 1.00 |" in report
    data = section(report, "Data, arms and command")
    assert "Clips: 3 valid, 3 test. Seeds: 1, 2, 3." in data
    assert "| none | `kd_weight: 0` |" in data
    assert "| batch_size | `4` |" in data
    assert "python recipes/VoiceBank/compare.py a.yaml b.yaml" in data


def test_a_weak_teacher_makes_the_report_begin_with_void(
    results, jobs, written
):
    report = write_comparison_report(written(results(jobs, teacher=[1, 2, 2])))
    assert report.startswith("**VOID: the teacher does not beat the baseline")
    assert "| +0.500 | **no** |" in section(report, "The gate")


def test_what_is_missing_is_named(results, jobs, written):
    folder = written(results(jobs[:4], teacher=None))
    report = write_comparison_report(folder)
    assert report.startswith("**INCOMPLETE:")
    assert "dfkd, seed 2" in report and "scores of the teacher" in report
    assert "dfkd, seed 1" not in report.split("\n")[0]
    one_seed = "| dfkd | +0.100 | - | - | +0.100 | - | - | 1 |"
    assert one_seed in section(report, "Difference to none")
    assert "| clean | - | - | - | - | - | - | - |" in report


def test_seeds_of_an_arm_are_told(results, jobs, written):
    jobs = [job for job in jobs if (job.arm, job.seed) != ("dfkd", 2)]
    folder = written(results(jobs, arm_seeds={"dfkd": [3, 1]}))
    report = write_comparison_report(folder)
    assert "INCOMPLETE" not in report
    data = section(report, "Data, arms and command")
    assert "Seeds: 1, 2, 3; dfkd only 1, 3." in data
    assert "Not all arms have the same seeds" in section(report, "Test set")
    means = section(report, "Test set").split("\n")
    (dfkd,) = [line for line in means if line.startswith("| dfkd ")]
    assert dfkd.endswith("| 2 |")
    differences = section(report, "Difference to none").split("\n")
    ends = [line[-5:] for line in differences if line.startswith("| dfkd ")]
    assert ends == ["| 2 |"] * 3


def test_a_comparison_without_a_finished_job_has_a_report(results, written):
    folder = written(results([], None, None))
    assert write_comparison_report(folder).startswith("**INCOMPLETE:")
    assert all((folder / name).exists() for name in FILES)


def test_undefined_scores_are_counted(results, job, written):
    jobs = [job("none", 1, [1, 2, 3]), job("dfkd", 1, [1, None, 3])]
    means = section(write_comparison_report(written(results(jobs))), "Test set")
    assert "1 for PESQ-WB, 1 for STOI, 1 for SI-SDR [dB]." in means


def test_tuning_shows_all_settings_and_the_chosen_one(results, job, written):
    jobs = [
        job("dfkd", 100, [1, 1, ratio], "tuning", {"kd_gradient_ratio": ratio})
        for ratio in (0.1, 1.0, 0.3)
    ]
    chosen = {"kd_gradient_ratio": 1.0}
    jobs.append(job("dfkd", 1, [1, 1, 1], setting=chosen))
    report = write_comparison_report(written(results(jobs)))
    tuning = section(report, "Tuning")
    assert "seed 100" in tuning and "was best" not in tuning
    lines = tuning.strip().split("\n")[-3:]
    assert lines == [
        "| dfkd | kd_gradient_ratio 0.1 | 0.700 |  |",
        "| dfkd | kd_gradient_ratio 0.3 | 0.767 |  |",
        "| dfkd | kd_gradient_ratio 1.0 | 1.000 | yes |",
    ]


def test_an_arm_that_is_only_tuned_has_no_scores(results, job, written):
    tried = {"kd_gradient_ratio": 0.1}
    jobs = [job("none", seed, [1, 1, 1]) for seed in (1, 2, 3)]
    jobs += [job("dfkd", seed, [1, 1, 1]) for seed in (1, 2, 3)]
    jobs.append(job("clean", 100, [1, 1, 1], "tuning", tried))
    folder = written(results(jobs, arm_seeds={"clean": []}))
    report = write_comparison_report(folder)
    assert "INCOMPLETE" not in report
    assert "clean" not in section(report, "Test set")
    tuning = section(report, "Tuning")
    assert "From that seed only, and not tested: clean." in tuning
    assert "| clean | kd_gradient_ratio 0.1 | 1.000 |  |" in tuning
    assert "| clean |" in section(report, "Data, arms and command")
    with pytest.raises(UserError, match="name one of none, dfkd"):
        write_comparison_report(folder, "clean")


def test_validation_is_shown_beside_the_test_set(results, job, written):
    jobs = [job("none", seed, [1, 1, 1]) for seed in (1, 2, 3)]
    jobs += [job("dfkd", seed, [1, 1, 1]) for seed in (1, 2, 3)]
    for index, found in enumerate(jobs[3:]):
        found.valid = copy.deepcopy(found.test)
        found.valid["a"]["pesq_wb"] += 3 * (0.1 + 0.1 * index)
    report = write_comparison_report(written(results(jobs)))
    assert "| dfkd | 1.000 [1.000, 1.000] |" in section(report, "Test set")
    line = "| dfkd | 1.200 (+0.200 [-0.048, +0.448]) | "
    assert line in section(report, "Validation set")


def test_measured_weights_are_told_by_seed(results, job, written):
    setting = {"kd_gradient_ratio": 0.3}
    weights = {1: 0.12345, 3: 12.0}
    jobs = [job("none", seed, [1, 1, 1]) for seed in (1, 2, 3)]
    jobs += [
        job("dfkd", seed, [1, 1, 1], setting=setting, kd_weight=weight)
        for seed, weight in weights.items()
    ]
    folder = written(results(jobs))
    report = write_comparison_report(folder)
    lines = section(report, "Measured weight of distillation").split("\n")
    assert [line for line in lines if line.startswith("| ")] == [
        "| arm | setting | kd_weight |",
        "| dfkd | kd_gradient_ratio 0.3 | 0.123, 12 |",
    ]
    csv_file = (folder / "report.csv").read_text()
    assert "\nkd_weight,dfkd,,seed 1,0.12345," in csv_file
    assert "\nkd_weight,none" not in csv_file


def test_without_measured_weights_there_is_no_table(results, jobs, written):
    report = write_comparison_report(written(results(jobs)))
    assert "Measured weight" not in report


def test_another_setting_than_the_best_is_pointed_out(results, job, written):
    jobs = [
        job("dfkd", 100, [1, 1, ratio], "tuning", {"kd_gradient_ratio": ratio})
        for ratio in (0.1, 1.0)
    ]
    jobs.append(job("dfkd", 1, [1, 1, 1], setting={"kd_gradient_ratio": 0.1}))
    report = write_comparison_report(written(results(jobs)))
    assert "kd_gradient_ratio 1.0 was best" in section(report, "Tuning")


def test_the_csv_file_has_a_line_for_each_number(results, jobs, written):
    folder = written(results(jobs))
    write_comparison_report(folder)
    with open(folder / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = (
        row
        for row in rows
        if (row["quantity"], row["system"], row["metric"])
        == ("difference", "clean", "si_sdr")
    )
    # SI-SDR is 10 dB a point; seed s loses another s / 1000 on one of 3 clips.
    assert float(row["value"]) == pytest.approx(-1 - 10 * 0.002 / 3)
    assert (row["seeds"], row["clips"]) == ("3", "3")
    assert float(row["p_holm"]) >= float(row["p"])
    keys = [tuple(row.values())[:4] for row in rows]
    assert len(set(keys)) == len(keys)


def test_the_same_files_give_the_same_report(results, jobs, written, capsys):
    folder = written(results(jobs))
    report = write_comparison_report(folder)
    first = [(folder / name).read_bytes() for name in FILES]
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == report + "\n"
    assert [(folder / name).read_bytes() for name in FILES] == first
    assert first[2].startswith(b"\x89PNG")


def test_differences_to_another_arm_have_a_report_beside(
    results, jobs, written, capsys
):
    folder = written(results(jobs))
    write_comparison_report(folder)
    first = [(folder / name).read_bytes() for name in FILES]
    assert main([str(folder), "--baseline", "dfkd"]) == 0
    names = {path.name for path in folder.glob("report*")}
    assert names == {*FILES, *(f"report-vs-dfkd.{end}" for end in ENDS)}
    assert [(folder / name).read_bytes() for name in FILES] == first
    report = (folder / "report-vs-dfkd.md").read_text()
    assert capsys.readouterr().out == report + "\n"
    differences = section(report, "Difference to dfkd")
    assert "| none | -0.101 [-0.101, -0.100] |" in differences
    assert "](report-vs-dfkd.png)" in differences
    assert "| arm | steps | seconds a step | relative to dfkd |" in report
    assert "against none" in section(report, "The gate")


def test_an_unknown_arm_is_an_error_that_writes_nothing(
    results, jobs, written, capsys
):
    folder = written(results(jobs))
    assert main([str(folder), "--baseline", "dfdk"]) == 2
    error = capsys.readouterr().err
    assert "got 'dfdk'; name one of none, dfkd, clean" in error
    assert not list(folder.glob("report*"))


def test_a_wrong_folder_is_an_error_without_a_traceback(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "comparison.json must be a JSON file" in error
    assert "Traceback" not in error
