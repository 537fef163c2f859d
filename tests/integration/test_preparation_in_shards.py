"""Several processes prepare a share each, and an ordinary call merges."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_runs import ROOT, environment, run, start

from speechbrain_dfkd.data.preparing import prepare

LEAF = "hparams/dccrn_dfkd.yaml"
SMALL = {"valid_share": 0.2, "valid_mixtures": 2, "valid_seconds": 1.5}


def options(corpus, results):
    folders = {"--data_folder": corpus, "--results_folder": results}
    return [LEAF, *(str(word) for pair in folders.items() for word in pair)]


def manifests(data):
    names = ("train", "valid", "test")
    return {name: (data / f"{name}.json").read_bytes() for name in names}


@pytest.fixture
def call_prepare(call):
    """Return a function that prepares in this process."""

    def call_prepare(words, recipe="VoiceBank"):
        leaf, *words = words
        return call(words, leaf, recipe, prepare)

    return call_prepare


def by_hand(recipe, words, number, count):
    shard = ["--shard", f"{number}/{count}"]
    script = [f"recipes/{recipe}/prepare.py"]
    return start(script, [*words, *shard], stderr=subprocess.PIPE)


def by_array(recipe, words, number, count):
    """Start what SLURM starts for one job of an array."""
    python = Path(sys.executable).parent
    return subprocess.Popen(
        ["bash", "examples/prepare_array.sbatch", recipe, *words[1:]],
        cwd=ROOT,
        env={
            **environment(),
            "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(number),
            "SLURM_ARRAY_TASK_COUNT": str(count),
        },
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "kind", "shard", "count"),
    [("VoiceBank", "corpus", by_hand, 2), ("DNS", "dns_corpus", by_array, 3)],
)
def test_shards_at_once_and_a_merge(
    recipe, kind, shard, count, request, tmp_path, call_prepare
):
    results = tmp_path / "results"
    words = options(request.getfixturevalue(kind), results)
    if recipe == "DNS":
        words += ["--dataset", json.dumps(SMALL)]
    data = results / "data"
    code, _, stderr = call_prepare(words, recipe)
    assert code == 0, stderr
    whole = manifests(data)
    shutil.rmtree(results)
    numbers = range(1, count + 1)
    processes = [shard(recipe, words, i, count) for i in numbers]
    for i, process in zip(numbers, processes, strict=True):
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        assert f"Shard {i}-of-{count} is checked and resampled." in stdout
    assert not (data / "train.json").exists()
    assert len([*data.rglob("*.jsonl")]) == count
    printed = run([f"recipes/{recipe}/prepare.py"], words)
    assert printed.returncode == 0, printed.stderr
    assert "Checking recordings: 0file" in printed.stderr
    assert manifests(data) == whole
    assert [p.name for p in data.rglob("*.jsonl")] == ["scanned.jsonl"]
    # No run's folder: only what trains makes one.
    assert [path.name for path in results.iterdir()] == ["data"]


def test_a_shard_names_its_bad_recordings_and_writes_no_manifest(
    corpus, tmp_path, call_prepare
):
    bad = shutil.copytree(corpus, tmp_path / "bad")
    spoilt = sorted(bad.rglob("*.wav"))[5]
    spoilt.write_text("404: not found")
    results = tmp_path / "results"
    codes = {}
    for i in (1, 2):
        words = [*options(bad, results), "--shard", f"{i}/2"]
        codes[i], _, stderr = call_prepare(words)
        if codes[i]:
            assert "error: data_folder must hold whole" in stderr
            assert str(spoilt) in stderr
    assert sorted(codes.values()) == [0, 2]
    assert not list(results.rglob("*.json"))
    rows = [
        json.loads(line)[0]
        for log in results.rglob("scanned-*.jsonl")
        for line in log.read_text().strip().splitlines()
    ]
    assert len(rows) == len(set(rows)) == len([*bad.rglob("*.wav")]) - 1
    code, _, stderr = call_prepare(options(bad, results))
    assert code == 2 and str(spoilt) in stderr


@pytest.mark.parametrize("shard", ["0/4", "5/4", "x", "1/0", "-1/4", "1", None])
def test_a_shard_that_is_none_is_refused(shard, corpus, tmp_path, call_prepare):
    words = [*options(corpus, tmp_path / "results"), "--shard"]
    words += [shard] if shard else []
    code, _, stderr = call_prepare(words)
    assert code == 2
    assert "error: --shard must be I/N with I from 1 to N, got" in stderr
    assert not (tmp_path / "results").exists()


def test_shards_of_the_demo_and_of_own_manifests_are_refused(
    corpus, tmp_path, call_prepare
):
    results = ["--results_folder", tmp_path / "results", "--shard", "1/2"]
    own = ["--data_folder", corpus, "--skip_prep", "True"]
    for words in ([LEAF, *results], [LEAF, *own, *results]):
        code, _, stderr = call_prepare(words)
        assert code == 2
        assert "--shard must come with --data_folder and without" in stderr
    assert not (tmp_path / "results").exists()


def test_a_misspelt_key_is_the_error_of_a_training(
    corpus, tmp_path, call_prepare
):
    words = options(corpus, tmp_path / "results")
    code, _, stderr = call_prepare([*words, "--shards", "1/2"])
    assert code == 2 and "unknown key 'shards'" in stderr
