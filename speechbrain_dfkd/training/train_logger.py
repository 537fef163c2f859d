"""Logs of a training: a text file, and TensorBoard where it is wanted."""

from pathlib import Path

from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger

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
