"""How batches get from worker processes to a training, or why they do not."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from speechbrain_dfkd.errors import UserError

SHARED_MEMORY = Path("/dev/shm")
# No batch takes that long; without a limit, a worker that cannot hand on its
# batch lets a training wait for ever.
TIMEOUT_SECONDS = 600
# A DataLoader asks each worker for two batches ahead; besides, there is the
# batch that is trained on, and the one before it until it is let go.
_AHEAD, _IN_USE = 2, 2
# torch's words for workers that died, hang, or could not hand on a batch; what
# a data set raised begins with "Caught ..." instead.
_LOST = re.compile(r"DataLoader (timed out|worker \(pid)|shared memory")
_REMEDY = (
    "give a container more shared memory (docker run --shm-size), or pass "
    "--num_workers 0 or a smaller --batch_size"
)


def loader_options(num_workers: int) -> dict:
    """Return what DataLoaders with workers, or without, have in common."""
    timeout = TIMEOUT_SECONDS if num_workers else 0
    return {"num_workers": num_workers, "timeout": timeout}


def require_shared_memory(hparams: dict, datasets: dict) -> None:
    """Refuse a training whose batches do not fit the shared memory.

    Workers hand on their batches in it. Where it is full, they end without a
    word to the training, which waits; containers often have 64 MB.

    Arguments
    ---------
    hparams : dict
        Objects of a leaf: ``batch_size`` and ``num_workers``.
    datasets : dict
        ``"train"`` and ``"valid"``, as ``open_splits`` returns them.

    Raises
    ------
    UserError
        With what is needed and what is free.
    """
    workers = hparams["num_workers"]
    if not workers or not SHARED_MEMORY.is_dir():
        return
    batch = max(_train_bytes(hparams, datasets), _valid_bytes(datasets))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    needed = (_AHEAD * workers + _IN_USE) * batch * processes
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise UserError(
            f"the shared memory {SHARED_MEMORY} must have room for the batches "
            f"of num_workers {workers}, {needed / 1e6:.0f} MB, got "
            f"{free / 1e6:.0f} MB free; {_REMEDY}"
        )


def _train_bytes(hparams, datasets):
    signals = _tensors(datasets["train"][0])
    segment = hparams["segment_seconds"] * hparams["sample_rate"]
    # The item may be shorter than others.
    frames = max(segment, *(len(signal) for signal in signals))
    return hparams["batch_size"] * sum(
        frames * signal.element_size() for signal in signals
    )


def _valid_bytes(datasets):
    """Return the size of the longest item; its length is in the manifest."""
    valid = datasets["valid"]
    seconds = [valid.data[name]["length"] for name in valid.data_ids]
    longest = valid[seconds.index(max(seconds))]
    return sum(signal.nbytes for signal in _tensors(longest))


def _tensors(item):
    return [value for value in item.values() if isinstance(value, Tensor)]


@contextmanager
def lost_workers_are_user_errors() -> Iterator[None]:
    """Turn the death or silence of DataLoader workers into a ``UserError``."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise UserError(
            f"the num_workers processes that load data must live and hand on "
            f"a batch within {TIMEOUT_SECONDS} s, got: {error}\n{_REMEDY}; the "
            f"same command goes on"
        ) from error
