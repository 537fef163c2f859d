"""Records what fixed tiny trainings end with, to show that nothing changed.

    python tests/integration/unchanged.py before.json
    ... change what is not to change any result ...
    python tests/integration/unchanged.py after.json --against before.json

A record holds, for each run, the SHA-256 of the weights that were exported,
and of results.json the table and the scores of every clip. Results are the
same to the bit only on one machine with one version of PyTorch, so a record is
not kept: it is made at the start of a change. It takes two to six minutes on
one core; the run with a checkpoint of Asteroid's is left out where Asteroid is
not installed.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from recipe_runs import MIXTURES, dfkd_options, finish

from speechbrain_dfkd.demo_corpus import make_demo_corpus, make_dns_corpus
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.teacher.trained_network import WEIGHTS

TINY = {"number_of_epochs": 1, "batch_size": 4, "segment_seconds": 0.5}
CLIPS = {"test_utterances": 2, "progress": False}
# {run: (recipe, family, changes to the smallest command line)}
RUNS = {
    "dccrn": ("VoiceBank", "dccrn", {}),
    "convtasnet": ("VoiceBank", "convtasnet", {}),
    "dptnet": ("VoiceBank", "dptnet", {}),
    "dns": ("DNS", "dccrn", {"dataset": MIXTURES}),
    "recommended": (
        "VoiceBank",
        "dccrn",
        {
            "kd": "!include:kd/recommended.yaml",
            "init_from_teacher": True,
            "kd_gradient_ratio": 5.0,
            "kd_gradient_batches": 2,
        },
    ),
    "teacher_cache": ("VoiceBank", "dccrn", {"teacher_cache": True}),
}
NETWORKS = {
    "dccrn": ("dccrn_quarter", "dccrn_eighth"),
    "convtasnet": ("conv_tasnet_tiny", "conv_tasnet_tiny"),
    "dptnet": ("dptnet_tiny", "dptnet_tiny"),
}
SCORED_BY = ("pesq", "pystoi")
PLAN = """
name: unchanged
baseline: none
arms:
    none: {kd_weight: 0}
    dfkd: {kd: !include:kd/dfkd.yaml , kd_gradient_batches: 1}
seeds: [1]
tuning_seed: 100
gradient_ratios: [0.5]
learning_rates: [0.001]
tune_on: si_sdr
side_by_side: 1
gate: {si_sdr: -100}
confidence: 0.95
bootstrap_draws: 100
snr_edges_db: [5]
"""


def main():
    """Make the runs, write their record, and compare it with another."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--against", type=Path, help="an earlier record")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        record = make_record(Path(folder))
    arguments.record.write_text(json.dumps(record, indent=1, sort_keys=True))
    print(arguments.record.read_text())
    if arguments.against:
        return compare(json.loads(arguments.against.read_text()), record)
    return 0


def make_record(folder: Path) -> dict:
    """Return ``{run: what read_run returns}``."""
    corpora = {"VoiceBank": folder / "vb", "DNS": folder / "dns"}
    seconds = {"min_seconds": 1.0, "max_seconds": 1.5}
    make_demo_corpus(
        corpora["VoiceBank"], utterances_per_speaker=1, **seconds, **CLIPS
    )
    make_dns_corpus(
        corpora["DNS"], speech_per_speaker=1, noises=18, **seconds, **CLIPS
    )
    record = {}
    for name, (recipe, family, changes) in RUNS.items():
        results = folder / name
        _finish(recipe, family, corpora[recipe], results, changes)
        record[name] = read_run(results)
    results = folder / "comparison"
    plan = folder / "unchanged.yaml"
    plan.write_text(PLAN)
    _finish(
        "VoiceBank",
        "dccrn",
        corpora["VoiceBank"],
        results,
        {},
        script="compare.py",
        words=[plan],
    )
    record["comparison"] = read_run(results)
    checkpoint = write_asteroid_checkpoint(folder)
    if checkpoint:
        results = folder / "asteroid"
        changes = {"teacher_ckpt": checkpoint}
        _finish("VoiceBank", "dccrn", corpora["VoiceBank"], results, changes)
        record["asteroid"] = read_run(results)
    return record


def _finish(
    recipe, family, corpus, results, changes, script="train_dfkd.py", words=()
):
    teacher, student = NETWORKS[family]
    options = {
        **TINY,
        "teacher": f"!include:models/{teacher}.yaml",
        "student": f"!include:models/{student}.yaml",
        "teacher_overrides": TINY,
        **changes,
    }
    leaf = f"hparams/{family}_dfkd.yaml"
    arguments = [*words, leaf, *dfkd_options(corpus, results, **options)]
    print(f"{results.name} ...", file=sys.stderr, flush=True)
    finish([f"recipes/{recipe}/{script}"], arguments)


def write_asteroid_checkpoint(folder: Path) -> Path | None:
    """Write a random DCCRNet as Asteroid does; None without Asteroid."""
    try:
        from asteroid_weights import make_dccrnet, serialized
    except ImportError:
        return None
    try:
        content = serialized(make_dccrnet())
    except ImportError:
        return None
    torch.save(content, folder / "asteroid.pth")
    return folder / "asteroid.pth"


def read_run(results: Path) -> dict:
    """Return the hashes of exported weights, the tables, every clip's scores."""
    weights = {
        str(path.parent.relative_to(results)): hash_of(path)
        for path in sorted(results.rglob(WEIGHTS))
    }
    found = {
        str(path.parent.relative_to(results)): json.loads(path.read_text())
        for path in sorted(results.rglob("results.json"))
    }
    return {
        "weights": weights,
        # The table of a comparison's runs shows the test set's means alone.
        "scores": {
            folder: {
                "rows": content["rows"],
                "definitions": content["definitions"],
                "versions": {
                    name: content["versions"][name] for name in SCORED_BY
                },
            }
            for folder, content in found.items()
            if not folder.startswith("comparison-")
        },
        "clips": {folder: of["scores"] for folder, of in found.items()},
    }


def hash_of(path: Path) -> str:
    """Return the SHA-256 of the weights in a file, whatever its format."""

    class Weights:
        def state_dict(self):
            return torch.load(path, map_location="cpu", weights_only=True)

    return fingerprint(Weights())


def compare(before: dict, after: dict) -> int:
    """Print which runs end otherwise; return 1 where one does.

    Only what the earlier record holds is compared.
    """
    changed = [
        f"{name}: {part}"
        for name in sorted(before.keys() | after.keys())
        for part in before.get(name, after.get(name))
        if before.get(name, {}).get(part) != after.get(name, {}).get(part)
    ]
    print("\n".join(changed) or "nothing changed", file=sys.stderr)
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main())
