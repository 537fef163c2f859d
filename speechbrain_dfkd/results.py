"""Scores systems on a test set, each once."""

import hashlib
from pathlib import Path

from torch import nn

from speechbrain_dfkd.enhancement_brain import EnhancementBrain
from speechbrain_dfkd.evaluation.complexity import (
    count_parameters,
    macs_per_second,
)
from speechbrain_dfkd.evaluation.scoring import Scores
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.teacher import fingerprint


class Unprocessed(nn.Module):
    """The network of the row "noisy": it returns its input."""

    def forward(self, noisy, features=()):
        """Return ``noisy`` [B, L] as the enhanced waveforms."""
        return Enhanced(noisy, {})


class _TestBrain(EnhancementBrain):
    """Tests a network that was counted when it was trained."""

    def print_trainable_parameters(self):
        """Print nothing: the results table names the parameters."""


class SystemTester:
    """Scores systems on one test set.

    Scores are kept in files named after what they depend on, so that a run
    that goes on after a kill does not repeat them.

    Arguments
    ---------
    hparams : dict
        As for ``EnhancementBrain``, with ``test_annotation``.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Device and precision.
    test_set : speechbrain.dataio.dataset.DynamicItemDataset
        Whole utterances.
    """

    def __init__(self, hparams: dict, run_opts, test_set):
        # Tests do not belong in the log of a training.
        self.hparams = {**hparams, "train_logger": None}
        self.run_opts = run_opts
        self.test_set = test_set
        manifest = Path(hparams["test_annotation"]).read_bytes()
        self.test_hash = hashlib.sha256(manifest).hexdigest()

    def row(self, system: str, model: nn.Module, folder) -> dict:
        """Return a system's row of the results table.

        Arguments
        ---------
        system : str
            "noisy", "teacher" or "student".
        model : nn.Module
            Its network.
        folder : str or Path
            Keeps the scores of each utterance, as JSON.

        Returns
        -------
        dict
            See ``speechbrain_dfkd.evaluation.report.write_report``.
        """
        key = f"{fingerprint(model)[:12]}-{self.test_hash[:12]}"
        if self.run_opts.debug:  # few utterances: no scores of the test set
            key += "-debug"
        path = Path(folder, f"test_scores-{system}-{key}.json")
        saves = self.hparams["save_enhanced"] and system != "noisy"
        if saves or not path.exists():
            print(f"Testing: {system}", flush=True)
            self._score(system, model, saves).save(path)
        row = {"system": system, **Scores.load(path).summary()}
        if count_parameters(model):
            rate = self.hparams["sample_rate"]
            row["parameters"] = count_parameters(model)
            row["gmacs_per_second"] = macs_per_second(model, rate) / 1e9
        return row

    def _score(self, system, model, saves) -> Scores:
        brain = _TestBrain(
            modules={"model": model},
            hparams={
                **self.hparams,
                "save_enhanced": saves,
                "enhanced_folder": f"{self.hparams['output_folder']}/{system}",
            },
            run_opts=self.run_opts,
        )
        brain.evaluate(self.test_set, test_loader_kwargs={"batch_size": 1})
        return brain.scores
