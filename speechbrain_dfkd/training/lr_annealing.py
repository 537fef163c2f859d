"""The learning rate from epoch to epoch."""

from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter


class PlateauThenDecay(ReduceLROnPlateau):
    """Lowers the rate on a plateau and, at the end, towards zero.

    To SpeechBrain's ``ReduceLROnPlateau`` comes a factor that falls linearly
    over the last epochs: in epoch ``e`` of ``E``, of which the last ``n``
    decay (the first never does),

        ``min(1, (E - e + 1) / (n + 1))``.

    Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations, NeurIPS 2024, arXiv 2405.18392, compare such decays
    with others: a short training sees too few plateaus to lower its rate by.
    A training that goes on with more epochs begins at the rate it ended with.

    Arguments
    ---------
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Knows the number of epochs.
    factor : float
        By which a plateau lowers the rate.
    patience : int
        Epochs without a better validation loss before that.
    decay_share : float
        Share of the epochs that decay, in [0, 1].

    Example
    -------
    >>> import torch
    >>> adam = torch.optim.Adam([torch.zeros(1)], lr=0.3)
    >>> schedule = PlateauThenDecay(EpochCounter(limit=4), decay_share=0.5)
    >>> for epoch in (1, 2, 3, 4):
    ...     rate, next_rate = schedule([adam], epoch, -epoch)
    ...     adam.param_groups[0]["lr"] = next_rate
    ...     print(round(rate, 3))
    0.3
    0.3
    0.2
    0.1
    """

    def __init__(
        self,
        epoch_counter: EpochCounter,
        factor: float = 0.5,
        patience: int = 2,
        decay_share: float = 0.0,
    ):
        settings = {"factor": factor, "patience": patience}
        super().__init__(**settings, dont_halve_until_epoch=0)
        self.epoch_counter = epoch_counter
        self.decay_share = decay_share

    def __call__(
        self, optim_list: list, current_epoch: int, current_loss: float
    ):
        """Return this epoch's rate and the next one's."""
        old, new = super().__call__(optim_list, current_epoch, current_loss)
        if current_epoch < self.epoch_counter.limit:
            new *= self._decay(current_epoch + 1)
            new /= self._decay(current_epoch)
        return old, new

    def _decay(self, epoch: int) -> float:
        epochs = self.epoch_counter.limit
        decaying = self.decay_share * epochs
        return min(1.0, (epochs - epoch + 1) / (decaying + 1))
