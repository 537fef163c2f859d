"""How the weight of distillation changes over a training."""

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


@register_checkpoint_hooks
class KDSchedule:
    """A weight that rises linearly at the start and ends before the training.

    With the progress p, the share of a training that is done,

        weight(p) = weight * min(1, p / ramp)  if p < stop, else 0.

    Ramps of a second loss' weight are common where its targets are useless to
    a network that knows nothing yet: Laine and Aila, Temporal Ensembling, ICLR
    2017, arXiv 1610.02242, raise theirs as a Gaussian; the line is [ours].
    Stopping early is the early-stopped distillation of Cho and Hariharan, On
    the Efficacy of Knowledge Distillation, ICCV 2019, arXiv 1910.01348: a
    small student that cannot be like its teacher is, late in the training,
    kept from its own optimum.

    A checkpoint holds the weight, so that one that was measured is kept.

    Arguments
    ---------
    weight : float
        The full weight.
    ramp : float
        Share of the training over which it rises from 0, in [0, 1].
    stop : float
        Share of the training after which it is 0, in (0, 1].

    Example
    -------
    >>> schedule = KDSchedule(weight=2.0, ramp=0.5, stop=0.75)
    >>> [schedule.weight_at(p) for p in (0.0, 0.25, 0.5, 0.75)]
    [0.0, 1.0, 2.0, 0.0]
    """

    def __init__(self, weight: float, ramp: float = 0.0, stop: float = 1.0):
        self.weight = weight
        self.ramp = ramp
        self.stop = stop

    @property
    def is_constant(self) -> bool:
        """Whether the weight is the same from beginning to end."""
        return self.ramp == 0 and self.stop == 1

    def weight_at(self, progress: float) -> float:
        """Return the weight when a share of the training, in [0, 1), is done."""
        if progress >= self.stop:
            return 0.0
        rising = progress < self.ramp
        return self.weight * progress / self.ramp if rising else self.weight

    @mark_as_saver
    def _save(self, path):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(repr(self.weight))

    @mark_as_loader
    def _load(self, path, end_of_epoch):
        with open(path, encoding="utf-8") as stream:
            self.weight = float(stream.read())


def training_progress(
    epoch: int, steps_done: int, n_epochs: int, steps_per_epoch: int
) -> float:
    """Return the share of a training that is done, a function of its position.

    So a resume, also within an epoch, goes on as the training would have. One
    with another ``n_epochs`` follows the new length from there on: what is
    done is then a smaller or larger share.

    Arguments
    ---------
    epoch : int
        The epoch that is going on, from 1.
    steps_done : int
        Its batches before this one.
    n_epochs : int
        Of the whole training.
    steps_per_epoch : int
        Batches of an epoch, of one process.

    Example
    -------
    >>> training_progress(epoch=1, steps_done=0, n_epochs=2, steps_per_epoch=5)
    0.0
    >>> training_progress(epoch=2, steps_done=3, n_epochs=2, steps_per_epoch=5)
    0.8
    """
    done = (epoch - 1) * steps_per_epoch + steps_done
    return done / (n_epochs * steps_per_epoch)
