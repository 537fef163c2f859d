"""Runs networks before their training, and leaves no trace of it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from speechbrain.dataio.batch import PaddedBatch
from torch import nn
from torch.utils.data import Dataset


def fixed_batches(
    dataset: Dataset, batch_size: int, n_batches: int = 8
) -> Iterator[PaddedBatch]:
    """Yield the same batches in any run, spread evenly over a data set.

    Manifests are sorted, so that the first items would all be one speaker's;
    each of these batches spans the whole data set. Nothing random is drawn.

    Arguments
    ---------
    dataset : torch.utils.data.Dataset
        Of a length, its items dicts.
    batch_size : int
        The most items in a batch; sizes differ by at most one.
    n_batches : int
        The most batches; fewer where the data set is smaller.

    Example
    -------
    >>> data = [{"id": name} for name in "abcdefgh"]
    >>> [batch.id for batch in fixed_batches(data, batch_size=2, n_batches=2)]
    [['a', 'e'], ['c', 'g']]
    """
    size = len(dataset)
    count = min(size, batch_size * n_batches)
    chosen = [i * size // count for i in range(count)]
    n_batches = -(-count // batch_size)
    for i in range(n_batches):
        yield PaddedBatch([dataset[j] for j in chosen[i::n_batches]])


@contextmanager
def trial_copies(modules: nn.ModuleDict) -> Iterator[nn.ModuleDict]:
    """Give copies of networks in training mode to the body of a ``with``.

    So neither running statistics nor anything else of the networks changes;
    nor does the state of the global random generators.

    Arguments
    ---------
    modules : nn.ModuleDict
        What is copied, with at least one parameter.

    Example
    -------
    >>> modules = nn.ModuleDict({"student": nn.BatchNorm1d(1)})
    >>> with trial_copies(modules) as copies:
    ...     normed = copies["student"](torch.randn(4, 1))
    >>> modules["student"].num_batches_tracked.item()
    0
    """
    device = next(modules.parameters()).device
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        yield copy.deepcopy(modules).train()
