"""What a training logs: terms averaged over an epoch, a file, TensorBoard."""

from collections import Counter
from pathlib import Path

import torch
from speechbrain.utils import checkpoints, distributed
from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger
from torch import Tensor

from speechbrain_dfkd.errors import UserError


class TrainLogger(FileTrainLogger):
    """Writes each epoch to a text file, and to TensorBoard if asked.

    Arguments
    ---------
    save_file : str
        The text file.
    tensorboard : bool
        Whether to write the folder ``tensorboard`` beside it as well, for
        ``tensorboard --logdir``.

    Example
    -------
    >>> file = getfixture("tmp_path") / "train_log.txt"
    >>> TrainLogger(file).log_stats({"epoch": 1}, {"loss": 2.5}, verbose=False)
    >>> print(file.read_text().strip())
    epoch: 1 - train loss: 2.50
    """

    def __init__(self, save_file: str | Path, tensorboard: bool = False):
        super().__init__(save_file)
        self.folder = Path(save_file).parent / "tensorboard"
        self.tensorboard = tensorboard
        self._board = None
        if not tensorboard:
            return
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError as error:
            raise UserError(
                "tensorboard must be False where it is not installed, got True; "
                "pip install tensorboard"
            ) from error

    def log_stats(
        self,
        stats_meta: dict,
        train_stats: dict | None = None,
        valid_stats: dict | None = None,
        test_stats: dict | None = None,
        verbose: bool = True,
    ) -> None:
        """See ``speechbrain.utils.train_logger.TrainLogger.log_stats``."""
        stats = (stats_meta, train_stats, valid_stats, test_stats)
        super().log_stats(*stats, verbose)
        epoch = stats_meta.get("epoch")
        # A test has no place on the axis of epochs.
        if not self.tensorboard or epoch is None:
            return
        # Made with the first epoch: making settings must leave no folder.
        if self._board is None:
            self._board = TensorboardLogger(str(self.folder))
        # A run that goes on is drawn behind what it has done before.
        steps = self._board.global_step
        steps["meta"] = epoch - 1
        splits = ("train", "valid", "test")
        for name, values in zip(splits, stats[1:], strict=True):
            steps[name] = dict.fromkeys(values or {}, epoch - 1)
        self._board.log_stats(*stats)
        if self._board.writer is not None:  # None: not the main process
            self._board.writer.flush()


@checkpoints.register_checkpoint_hooks
class TrainingTerms:
    """Averages scalars, sums histograms over spectrum bins, counts events.

    Sums stay on the device, so that no batch waits for them. Of several
    processes each has its own share until ``collect``.
    """

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Start a new epoch."""
        self.sums, self.counts, self.events = {}, Counter(), Counter()

    def append(self, terms: dict) -> None:
        """Add the detached tensors that a loss reported for one batch."""
        values = {k: v.detach().float() for k, v in terms.items()}
        self._add(values, dict.fromkeys(terms, 1), {})

    def count(self, event: str) -> None:
        """Count something that happened in the epoch."""
        self.events[event] += 1

    def _add(self, sums: dict, counts: dict, events: dict) -> None:
        for name, value in sums.items():
            if name in self.sums:
                # A resume leaves the sums on the CPU.
                value = self.sums[name].to(value.device) + value
            self.sums[name] = value
        self.counts.update(counts)
        self.events.update(events)

    def snapshot(self) -> dict:
        """Return the state, for ``restore``; later batches leave it alone."""
        return {name: dict(part) for name, part in vars(self).items()}

    def restore(self, snapshot: dict) -> None:
        """Go back to a state, which may be on another device."""
        self.reset()
        self._add(**snapshot)

    def collect(self) -> None:
        """Move the shares of all processes to the main one; all call it."""
        if not distributed.is_distributed_initialized():
            return
        own = self.snapshot()
        own["sums"] = {name: value.cpu() for name, value in self.sums.items()}
        shares = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(shares, own)
        self.reset()
        if distributed.if_main_process():
            for share in shares:
                self._add(**share)

    def means(self) -> dict:
        """Return the mean of each scalar term, as floats."""
        return {
            name: float(value) / self.counts[name]
            for name, value in self.sums.items()
            if value.ndim == 0
        }

    def histograms(self) -> dict:
        """Return the summed histograms, as tensors on the CPU."""
        return {k: value.cpu() for k, value in self.sums.items() if value.ndim}

    @checkpoints.mark_as_saver
    def _save(self, path: Path) -> None:
        torch.save(self.snapshot(), path)  # by the main process alone

    @checkpoints.mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        self.reset()
        if not end_of_epoch and distributed.if_main_process():
            self.restore(torch.load(path, "cpu", weights_only=True))


def histogram_quantiles(counts: Tensor, sample_rate: int) -> dict[str, float]:
    """Return quantiles in Hz of a histogram [F] up to half the sample rate."""
    total = counts.double().sum()
    if not total > 0:
        return {}
    cumulative = counts.double().cumsum(0) / total
    bin_hz = sample_rate / 2 / (len(counts) - 1)
    # The first bin that reaches the share; 1e-9 forgives rounding.
    return {
        f"p{percent}_hz": int((cumulative < percent / 100 - 1e-9).sum())
        * bin_hz
        for percent in (10, 50, 90)
    }
