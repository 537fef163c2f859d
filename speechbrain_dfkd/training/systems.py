"""Scores systems on a test or validation set, each once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.utils.data import Dataset

from speechbrain_dfkd.data.dataset import (
    lost_workers_are_user_errors,
    whole_options,
)
from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.evaluation.complexity import (
    count_parameters,
    macs_per_second,
)
from speechbrain_dfkd.evaluation.metrics import METRICS
from speechbrain_dfkd.evaluation.scoring import Scores
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.training.enhancement_brain import EnhancementBrain


class Unprocessed(nn.Module):
    """The network of the row "noisy": it returns its input."""

    def forward(self, noisy: Tensor, features: tuple = ()) -> Enhanced:
        """Return ``noisy`` [B, L] as the enhanced waveforms."""
        return Enhanced(noisy, {})


class _TestBrain(EnhancementBrain):
    """Tests a network that was counted when it was trained."""

    def print_trainable_parameters(self) -> None:
        """Print nothing: the results table names the parameters."""


class SystemTester:
    """Scores systems on the utterances of a split, and keeps the scores.

    Their files are named after what they depend on: a run that goes on after
    a kill does not repeat them.
    """

    def __init__(
        self,
        hparams: dict,
        run_opts: RunOptions,
        test_set: Dataset,
        split: str = "test",
    ):
        # Tests do not belong in the log of a training.
        self.hparams = {**hparams, "train_logger": None}
        self.run_opts = run_opts
        self.test_set = test_set
        self.split = split
        manifest = Path(hparams[f"{split}_annotation"])
        self.test_hash = hashlib.sha256(manifest.read_bytes()).hexdigest()
        entries = read_manifest(manifest).items()
        self.test_set_of = {name: x.get("test_set") for name, x in entries}

    def rows(self, system: str, model: nn.Module, scores: Scores) -> list:
        """Return a system's rows of the results table, one a test set."""
        size, n_parameters = {}, count_parameters(model)
        if n_parameters:
            macs = macs_per_second(model, self.hparams["sample_rate"])
            size = {"parameters": n_parameters, "gmacs_per_second": macs / 1e9}
        return [
            {"system": system, "test_set": name, **part.summary(), **size}
            for name, part in _parts(scores, self.test_set_of)
        ]

    def scores(self, system: str, model: nn.Module, folder: str | Path):
        """Return a system's scores of each utterance; the folder keeps them."""
        key = f"{fingerprint(model)[:12]}-{self.test_hash[:12]}"
        if self.run_opts.debug:  # few utterances: no scores of the test set
            key += "-debug"
        path = Path(folder, f"{self.split}_scores-{system}-{key}.json")
        saves = self.hparams["save_enhanced"] and system != "noisy"
        saves = saves and self.split == "test"
        kept = Scores.load(path) if path.exists() else None
        # Of before there was a metric: not all that the results name.
        if saves or kept is None or kept.undefined.keys() != set(METRICS):
            print(f"Testing: {system}", flush=True)
            kept = self._score(system, model, saves)
            kept.save(path)
        return kept

    def _score(self, system: str, model: nn.Module, saves: bool) -> Scores:
        hparams = self.hparams | {"save_enhanced": saves}
        hparams["enhanced_folder"] = f"{hparams['output_folder']}/{system}"
        brain = _TestBrain({"model": model}, None, hparams, self.run_opts)
        options = whole_options(hparams, brain.device, self.test_set)
        with lost_workers_are_user_errors():
            brain.evaluate(self.test_set, test_loader_kwargs=options)
        return brain.scores


def _parts(scores: Scores, part_of: dict) -> Iterator[tuple[str, Scores]]:
    """Yield the name and the Scores of each part of the utterances."""
    for part in dict.fromkeys(map(part_of.get, scores.rows)):
        rows = {n: r for n, r in scores.rows.items() if part_of[n] == part}
        undefined = {
            metric: {n: why for n, why in reasons.items() if n in rows}
            for metric, reasons in scores.undefined.items()
        }
        yield part, Scores(rows, undefined)
