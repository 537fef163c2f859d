"""Two processes train one network; what is made once is made once."""

import json
from pathlib import Path

import pytest
from recipe_runs import DFKD, MIXTURES, ROOT, STUDENT_FOLDER, dfkd_options, run

pytestmark = pytest.mark.slow

SIZES = {"batch_size": 4, "segment_seconds": 0.5, "number_of_epochs": 1}
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
FRAMES = 63  # of half a second
OBSERVED = Path(__file__).with_name("observed_rank.py")


@pytest.fixture(scope="module")
def data(corpus, dns_corpus):
    """Return the options that are each recipe's own."""
    return {
        "VoiceBank": {"corpus": corpus, "teacher_cache": True},
        "DNS": {"corpus": dns_corpus, "dataset": MIXTURES},
    }


def in_two_processes(recipe, options, results, dies=0):
    """Run train_dfkd.py under torchrun; return the ranks' notes too."""
    options = dfkd_options(
        results=results, **options, **SIZES, teacher_overrides=SIZES
    )
    script = [*LAUNCH, OBSERVED, results / "notes", ROOT / "recipes" / recipe]
    arguments = [dies, DFKD[1], *options, "--distributed_backend", "gloo"]
    done = run([*map(str, script)], arguments)
    notes = [
        json.loads(path.read_text())
        for path in sorted((results / "notes").glob("*.json"))
    ]
    return done, notes


@pytest.mark.parametrize("recipe", ["VoiceBank", "DNS"])
def test_two_processes_train_one_network(recipe, data, tmp_path):
    done, notes = in_two_processes(recipe, data[recipe], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = notes
    # Teacher, then teacher and student: the same in both processes.
    assert len(first["weights"]) == 3
    assert first["weights"] == second["weights"]
    # Half of the epoch each, and no utterance or mixture twice.
    assert len(first["drawn"]) == len(second["drawn"]) == 13
    assert not set(first["drawn"]) & set(second["drawn"])
    assert done.stdout.count("Results:") == 2, "teacher and student, once"
    cached = recipe == "VoiceBank"
    folder = STUDENT_FOLDER + "-teacher_cache" * cached
    assert (tmp_path / folder / "results.csv").is_file()
    # One rank had no finite loss in a step: both left it out.
    log = (tmp_path / folder / "train_log.txt").read_text()
    assert "skipped_steps: 1" in log and "nan" not in log
    # All of the first rank's utterances are in the histogram, and of the
    # second's those of its good batches, of as many frames.
    table = (tmp_path / folder / "crossover_histogram.csv").read_text()
    counted = sum(map(int, table.splitlines()[1].split(",")[1:]))
    assert counted == (13 + 13 - 4) * FRAMES
    assert done.stderr.count("Going into epoch") <= 2
    assert done.stdout.count("Teacher cache: ") == cached


def test_a_rank_that_dies_ends_the_job(data, tmp_path):
    done, _ = in_two_processes("DNS", data["DNS"], tmp_path, dies=1)
    assert done.returncode != 0
    assert "exitcode  : 9" in done.stderr
    assert not list(tmp_path.rglob("results.csv"))
