"""The results files are exact, and the table is rounded and aligned."""

import csv
import json
from importlib.metadata import version

import pytest

from speechbrain_dfkd.run_folder import COLUMNS, DEFINITIONS, write_report

NOISY = {
    "system": "noisy",
    "pesq_wb": 1.97012345,
    "stoi": 0.92101,
    "si_sdr": 8.4444,
    "gain_db": float("nan"),
    "correlation": 0.93214,
    "utterances": 824,
    "undefined": 2,
}
STUDENT = {
    "system": "student",
    "pesq_wb": 2.6996,
    "stoi": 0.94,
    "si_sdr": 18.055,
    "gain_db": -0.126,
    "correlation": -0.98765,
    "parameters": 3671234,
    "gmacs_per_second": 0.358123,
    "utterances": 824,
    "undefined": 0,
}


def test_table_has_units_rounding_and_dashes(tmp_path):
    table = write_report(tmp_path, [NOISY, STUDENT])
    assert table == (
        "system   PESQ-WB    STOI  SI-SDR [dB]  gain [dB]   corr.  params  "
        "GMAC/s  clips  undefined\n"
        "noisy      1.970  0.9210         8.44          -   0.932       -  "
        "     -    824          2\n"
        "student    2.700  0.9400        18.05      -0.13  -0.988   3.67M  "
        " 0.358    824          0"
    )


@pytest.mark.parametrize(
    "parameters, gmacs, cells",
    [
        (999, 11.123, ["999", "11.1"]),
        (1000, 0.01, ["1.00k", "0.01"]),
        (41234, 1234.5, ["41.23k", "1230"]),
        (1_000_000, 0.0, ["1.00M", "0"]),
    ],
)
def test_large_and_small_numbers_are_readable(
    tmp_path, parameters, gmacs, cells
):
    row = {"parameters": parameters, "gmacs_per_second": gmacs}
    table = write_report(tmp_path, [{"system": "student", **row}])
    assert table.splitlines()[1].split()[6:8] == cells


def test_files_hold_full_precision_and_definitions(tmp_path):
    write_report(tmp_path, [NOISY, STUDENT])
    with open(tmp_path / "results.csv", newline="") as file:
        noisy, student = csv.DictReader(file)
    assert list(noisy) == list(COLUMNS)
    assert float(noisy["pesq_wb"]) == NOISY["pesq_wb"]
    assert noisy["gain_db"] == "" and noisy["parameters"] == ""
    assert student["system"] == "student"

    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rows"][0]["gain_db"] is None
    nothing = {"test_set": None, "pesq_nb": None}
    assert results["rows"][1] == {**nothing, **STUDENT}
    assert results["versions"] == {
        name: version(name)
        for name in ("pesq", "pystoi", "numpy", "torch", "speechbrain")
    }
    assert results["definitions"] == DEFINITIONS
    assert b"\r" not in (tmp_path / "results.csv").read_bytes()


def test_what_else_is_known_of_a_run_is_in_the_json_alone(tmp_path):
    scores = {"student": {"valid": {"a": {"pesq_wb": None}}}}
    table = write_report(tmp_path, [NOISY], scores=scores, steps=7)
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["scores"], results["steps"]) == (scores, 7)
    assert table == write_report(tmp_path, [NOISY])
    assert "steps" not in (tmp_path / "results.csv").read_text()


def test_json_has_a_line_for_each_value(tmp_path):
    write_report(tmp_path, [STUDENT])
    text = (tmp_path / "results.json").read_text()
    start = '{\n "rows": [\n  {\n   "system": "student",\n'
    assert text.startswith(start) and text.endswith("\n}\n")


def test_a_number_that_is_no_json_replaces_no_file(tmp_path):
    write_report(tmp_path, [NOISY])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="JSON"):
        write_report(tmp_path, [{**STUDENT, "si_sdr": float("inf")}])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_column_is_defined():
    assert set(DEFINITIONS) == set(COLUMNS) - {"system"}


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(tmp_path):
    write_report(tmp_path, [NOISY])
    write_report(tmp_path, [STUDENT])
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["results.csv", "results.json"]
    assert "noisy" not in (tmp_path / "results.csv").read_text()


def test_rows_with_other_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'pesq'"):
        write_report(tmp_path, [{"system": "noisy", "pesq": 2.0}])
    assert list(tmp_path.iterdir()) == []


def test_test_sets_and_narrow_band_scores_are_shown_where_there_are(tmp_path):
    row = {**NOISY, "test_set": "no_reverb", "pesq_nb": 2.161}
    heading, line = write_report(tmp_path, [row]).splitlines()
    assert heading.split()[:5] == [
        "system",
        "test",
        "set",
        "PESQ-WB",
        "PESQ-NB",
    ]
    assert line.split()[:4] == ["noisy", "no_reverb", "1.970", "2.161"]
