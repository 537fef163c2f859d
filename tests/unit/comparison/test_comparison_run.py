"""A comparison runs its jobs by the recipe's script, once each."""

import dataclasses
import json
import re

import pytest
from ruamel.yaml.comments import CommentedMap

from speechbrain_dfkd.comparison import jobs
from speechbrain_dfkd.comparison.comparison import BaseCommand, Comparison
from speechbrain_dfkd.comparison.plan import Cluster, Plan
from speechbrain_dfkd.comparison.results import (
    COMPARISON_FILE,
    load_json,
    save_json,
)
from speechbrain_dfkd.errors import UserError

CARDS = "CUDA_VISIBLE_DEVICES"
# Takes the place of a recipe's script: the larger its lr, the better.
SCRIPT = """
import json, sys
from pathlib import Path
leaf, *words = sys.argv[1:]
given = dict(zip(words[::2], words[1::2]))
folder = Path(given["--output_folder"])
(folder / "save").mkdir(exist_ok=True)
splits = given["--score_splits"].strip("[]").split(", ")
value = float(given.get("--lr", 0))
scores = {split: {"a": {"pesq_wb": value}} for split in splits}
systems = given["--score_systems"].strip("[]").split(", ")
record = {"steps": 1, "seconds_per_step": 1.0, "kd_weight": None}
record["scores"] = {system: scores for system in systems}
record["command"] = " ".join([leaf, *words])
record["teacher_fingerprint"] = "f" * 64
if given.get("--seed") == "2" and Path(leaf).exists():
    sys.exit("seed 2 fails")
(folder / "results.json").write_text(json.dumps(record))
"""


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.01)
    (tmp_path / "train_dfkd.py").write_text(SCRIPT)
    toy = Comparison.__new__(Comparison)
    toy.plan = Plan(
        name="toy", baseline="none", seeds=[1, 2], tuning_seed=100,
        arms=CommentedMap({"none": {"kd_weight": 0}, "dfkd": {}}),
        gradient_ratios=[1.0, 2.0], learning_rates=[0.1, 0.2],
        tune_on="pesq_wb", side_by_side=2, gate={}, confidence=0.9,
        bootstrap_draws=100, snr_edges_db=[],
    )  # fmt: skip
    leaf = str(tmp_path / "leaf.yaml")
    toy.base = BaseCommand(leaf, [], CommentedMap(batch_size=3))
    toy.recipe_folder, toy.folder, toy.results = tmp_path, tmp_path / "toy", []
    save_json(toy.folder / COMPARISON_FILE, {"teacher": None})
    return toy


def test_the_teacher_is_first_and_each_job_is_run_once(comparison, capsys):
    comparison.run()
    lines = capsys.readouterr().out.splitlines()
    log = comparison.folder / "teacher/job.log"
    assert lines[0] == f"Preparing data and teacher; log: {log}"
    assert lines[1] == "Jobs: 8, 0 of them done before"
    assert lines[2] == "[0/8] started  none-lr_0.1-seed_100"
    assert len(lines) == 2 + 2 * 8
    pattern = r"\[8/8\] finished \S+-seed_2 in 0:00:0\d; about 0:00:00 left"
    assert re.fullmatch(pattern, lines[-1])
    teacher = json.loads((log.with_name("results.json")).read_text())
    assert list(teacher["scores"]) == ["noisy", "teacher"]
    assert list(teacher["scores"]["teacher"]) == ["valid", "test"]
    kept = load_json(comparison.folder / COMPARISON_FILE)
    assert kept == {"teacher": "f" * 64}
    runs = {path.name for path in comparison.folder.glob("runs/*")}
    assert runs == {result.name for result in comparison.results}
    assert not list(comparison.folder.glob("runs/*/save"))
    for result in comparison.results:
        command, is_none = result.command, result.arm == "none"
        assert f"--batch_size 3 {'--kd_weight 0 ' * is_none}--" in command
        own = f"--seed {result.seed} --score_systems [student] --score_splits"
        assert own in command
        assert bool(result.test) == (result.purpose == "report")
        if result.purpose == "report":
            assert result.setting["lr"] == 0.2
    comparison.run()
    assert capsys.readouterr().out == "", "nothing is left to do"


def test_a_comparison_goes_on_with_the_jobs_that_failed(comparison, capsys):
    leaf = comparison.recipe_folder / "leaf.yaml"
    leaf.touch()
    with pytest.raises(UserError, match="seed_2 must end well(.|\n)*2 fails"):
        comparison.run()
    assert {1, 100} >= {result.seed for result in comparison.results}
    done = len(comparison.results)
    capsys.readouterr()
    leaf.unlink()
    comparison.run()
    out = capsys.readouterr().out
    assert f"Jobs: 8, {done} of them done before" in out
    assert len(comparison.results) == 8


def test_jobs_are_spread_over_the_cards(comparison, capsys, monkeypatch):
    monkeypatch.setattr(jobs.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    script = comparison.recipe_folder / "train_dfkd.py"
    script.write_text(f"import os\nprint(os.environ['{CARDS}']){SCRIPT}")
    comparison.run()
    out = capsys.readouterr().out
    told = [out.count(f"on card GPU-{card}") for card in "ab"]
    assert sum(told) == 8 and all(told)  # one that ends sooner gets the next
    seen = [log.read_text() for log in comparison.folder.glob("*/*/job.log")]
    assert sorted(seen) == ["GPU-a\n"] * told[0] + ["GPU-b\n"] * told[1]
    teacher = (comparison.folder / "teacher/job.log").read_text()
    assert teacher == "GPU-a,GPU-b\n", "the teacher has its pick"


def test_a_device_of_the_users_is_kept(comparison, capsys, monkeypatch):
    monkeypatch.setattr(jobs.torch.cuda, "device_count", lambda: 2)
    base, words = comparison.base, ["--device", "cuda:1"]
    comparison.base = dataclasses.replace(base, options=words)
    comparison.recipe_folder.joinpath("train_dfkd.py").write_text(
        "import os, sys\nassert sys.argv[2:4] == ['--device', 'cuda:1']\n"
        f"del sys.argv[2:4]\nassert '{CARDS}' not in os.environ{SCRIPT}"
    )
    monkeypatch.delenv(CARDS, raising=False)
    comparison.run()
    assert "on card" not in capsys.readouterr().out
    assert len(comparison.results) == 8


@pytest.mark.slow
def test_a_cluster_runs_the_teacher_and_all_jobs(comparison, capsys):
    asked = Cluster(executor="local", minutes=5, cores=1, cards=0)
    chosen = {"gradient_ratios": [], "learning_rates": [], "seeds": [1]}
    plan = dataclasses.replace(comparison.plan, cluster=asked, **chosen)
    comparison.plan = plan
    comparison.run()
    assert "[2/2] finished" in capsys.readouterr().out
    assert (comparison.folder / "teacher/cluster").is_dir()
    for result in comparison.results:
        folder = comparison.folder / "runs" / result.name
        assert (folder / "job.log").exists()
        assert len(list(folder.glob("cluster/*_result.pkl"))) == 1
