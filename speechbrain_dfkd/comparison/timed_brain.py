"""Counts and times the steps of a training, also across a resume."""

import statistics
import time
from pathlib import Path

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from speechbrain_dfkd.comparison.job_results import load_json, save_json
from speechbrain_dfkd.dfkd_brain import DFKDBrain

TIMING_FILE = "timing.json"


class TimedBrain(DFKDBrain):
    """A ``DFKDBrain`` that writes how many steps it made, and their time.

    A step lasts from the end of the one before to its own end, so that waiting
    for data counts; checkpoints within an epoch hardly move a median. The
    medians of the epochs are in a file of their own: in a checkpoint they would
    go back with the weights to the best epoch. Arguments are those of
    ``DFKDBrain``.
    """

    def on_stage_start(self, stage, epoch=None):
        """Start the clock of an epoch's first step."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self._seconds = []
            self._last_end = time.perf_counter()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Stop the clock of a step and start that of the next."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        now = time.perf_counter()
        self._seconds.append(now - self._last_end)
        self._last_end = now

    def _finish_train(self, stage_loss, epoch):
        # Before the checkpoint that ends the epoch: it is not trained again.
        if if_main_process() and self._seconds:
            self._write_timing(epoch)
        super()._finish_train(stage_loss, epoch)

    def _write_timing(self, epoch):
        path = Path(self.hparams.output_folder, TIMING_FILE)
        timing = load_json(path) if path.exists() else {"seconds": {}}
        timing["seconds"][str(epoch)] = statistics.median(self._seconds)
        timing["steps"] = self.optimizer_step
        save_json(path, timing)


def read_timing(folder) -> dict:
    """Return what ``TimedBrain`` wrote into a run's folder.

    Returns
    -------
    dict
        ``steps`` of the optimizer, and ``seconds_per_step``, the median over
        epochs of an epoch's median.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> seconds = {"1": 9.0, "2": 2.0, "3": 3.0}
    >>> save_json(folder / TIMING_FILE, {"steps": 21, "seconds": seconds})
    >>> read_timing(folder)
    {'steps': 21, 'seconds_per_step': 3.0}
    """
    timing = load_json(Path(folder, TIMING_FILE))
    return {
        "steps": timing["steps"],
        "seconds_per_step": statistics.median(timing["seconds"].values()),
    }
