"""The data sets that a Brain trains, validates and tests on."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.epoch_loop import EpochCounter
from torch import Tensor
from torch.utils.data import Dataset

from speechbrain_dfkd.data.audio import changed, read_part
from speechbrain_dfkd.data.manifest import check_manifest, read_manifest
from speechbrain_dfkd.errors import Faults, UserError, whole_lists_in
from speechbrain_dfkd.evaluation.metrics import PESQ_MIN_SECONDS
from speechbrain_dfkd.files import stable_hash
from speechbrain_dfkd.folder_lock import hold_if_writable
from speechbrain_dfkd.settings.keys import PREPARE_KEYS


def read_wav(
    path: str | Path, sample_rate: int, start: int = 0, frames: int = -1
) -> Tensor:
    """Read [frames] of a recording from ``start`` on, by default all of it."""
    wav, rate = read_part(path, start, frames)
    if rate != sample_rate:
        raise changed(path, f"have {sample_rate} Hz", f"{rate} Hz")
    return torch.from_numpy(wav)


OUTPUT_KEYS = ["id", "noisy_sig", "clean_sig"]


class SharedEpochCounter(EpochCounter):
    """SpeechBrain's EpochCounter, whose epoch all DataLoader workers see.

    Workers that live as long as the training got their copy of a data set
    before its first epoch; with this they still make what belongs to each.

    Example
    -------
    >>> next(SharedEpochCounter(limit=2))
    1
    """

    def __init__(self, limit: int):
        self._shared = torch.zeros(1, dtype=torch.int64).share_memory_()
        super().__init__(limit)

    @property
    def current(self) -> int:
        """The number of the epoch, from 1 on."""
        return self._shared.item()

    @current.setter
    def current(self, epoch: int) -> None:
        """Let all workers know of the epoch."""
        self._shared[0] = epoch


@dataclass(eq=False)
class RandomCrop:
    """Reads a random segment, a function of (seed, epoch, utterance id) alone.

    An utterance that is shorter than the segment is read whole.
    """

    segment_seconds: float
    sample_rate: int
    seed: int
    epoch_counter: EpochCounter

    def span(self, utterance_id: str, length: float) -> tuple[int, int]:
        """Return first sample and number of samples; ``length`` in seconds."""
        segment = round(self.segment_seconds * self.sample_rate)
        frames = round(length * self.sample_rate)
        key = stable_hash(self.seed, self.epoch_counter.current, utterance_id)
        return key % max(frames - segment + 1, 1), min(segment, frames)

    def __call__(self, path: str, utterance_id: str, length: float) -> Tensor:
        """Return [segment], or less of a short utterance."""
        span = self.span(utterance_id, length)
        return read_wav(path, self.sample_rate, *span)


def _signals(read: Callable, *takes: str) -> list[dict]:
    # Each is made by itself, so that a data set can be pickled (SpeechBrain's
    # with two outputs are open generators).
    return [
        {"func": read, "takes": [f"{s}_wav", *takes], "provides": f"{s}_sig"}
        for s in ("noisy", "clean")
    ]


class CroppedRecordings(DynamicItemDataset):
    """Random segments of a manifest's recordings, as ``crop`` takes them."""

    def __init__(self, manifest: dict, crop: RandomCrop):
        super().__init__(manifest, _signals(crop, "id", "length"), OUTPUT_KEYS)
        self.crop = crop


def crop_recordings(
    train_annotation: str | Path,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
) -> CroppedRecordings:
    """Make a training set of random segments of noisy and clean recordings.

    Arguments
    ---------
    train_annotation : str or Path
        A manifest of pairs, see ``speechbrain_dfkd.data.manifest``.
    segment_seconds : float
        Length of a segment; that of a shorter recording is its own.
    sample_rate : int
        Of the recordings, in Hz.
    seed : int
        Of the random segments.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Every epoch has other segments.
    """
    train = read_manifest(train_annotation)
    longest = max(entry["length"] for entry in train.values())
    if not 0 < segment_seconds <= longest:
        raise UserError(
            "segment_seconds must be above 0 and at most the longest training "
            f"file's {longest:g} s, got {segment_seconds}; choose another"
        )
    crop = RandomCrop(segment_seconds, sample_rate, seed, epoch_counter)
    return CroppedRecordings(train, crop)


def prepare_splits(hparams: dict) -> None:
    """Make a leaf's manifests, or check them, once for all that share them."""
    with hold_if_writable(hparams["prepared_folder"]):
        run_on_main(_prepare, args=[hparams])


def _prepare(hparams: dict) -> None:
    folder = Path(hparams["prepared_folder"]).expanduser()
    with whole_lists_in(folder / "refused_files.txt"):
        if hparams["skip_prep"]:
            faults = Faults()
            for split in ("train", "valid", "test"):
                with faults.kept():
                    path = hparams[f"{split}_annotation"]
                    check_manifest(path, hparams["sample_rate"])
            faults.raise_if_any()
            return
        dataset = hparams["dataset"]
        if dataset["demo_corpus"] is not None:
            dataset["demo_corpus"](hparams["data_folder"])
        dataset["prepare"](**{key: hparams[key] for key in PREPARE_KEYS})


def open_splits(hparams: dict) -> dict[str, Dataset]:
    """Return the data sets "train", "valid" and "test" of a leaf's manifests.

    Items are ``id``, ``noisy_sig`` and ``clean_sig``: segments for training,
    else whole utterances in the order of their ids.
    """
    rate = hparams["sample_rate"]
    train = hparams["dataset"]["make_train"](
        hparams["train_annotation"],
        hparams["segment_seconds"],
        rate,
        hparams["seed"],
        hparams["epoch_counter"],
    )
    splits = {"train": train}
    whole = _signals(partial(read_wav, sample_rate=rate))
    for split in ("valid", "test"):
        manifest = read_manifest(hparams[f"{split}_annotation"])
        splits[split] = DynamicItemDataset(manifest, whole, OUTPUT_KEYS)
    longest = max(e["length"] for e in splits["valid"].data.values())
    if hparams["best_metric"] == "pesq_wb" and longest < PESQ_MIN_SECONDS:
        raise UserError(
            f"{hparams['valid_annotation']} must list a recording of at least "
            f"{PESQ_MIN_SECONDS} s, which PESQ needs, got {longest:g} s at most; "
            "hold out longer ones, or pass --best_metric si_sdr"
        )
    counter = hparams["epoch_counter"]
    shares = isinstance(counter, SharedEpochCounter)
    if hparams["persistent_workers"] and not shares:
        raise UserError(
            f"epoch_counter must be a {SharedEpochCounter.__module__}."
            f"SharedEpochCounter for persistent_workers, got {counter!r}, of "
            f"which they see the first epoch alone; pass --persistent_workers "
            f"False"
        )
    return splits


SHARED_MEMORY = Path("/dev/shm")
# No batch takes that long; without a limit, a worker that cannot hand on its
# batch lets a training wait for ever.
TIMEOUT_SECONDS = 600
# Beside those made ahead there is the batch that is trained on, and the one
# before it until it is let go.
_IN_USE = 2
# torch's words for workers that died, hang, or could not hand on a batch; what
# a data set raised begins with "Caught ..." instead.
_LOST = re.compile(r"DataLoader (timed out|worker \(pid)|shared memory")
_REMEDY = (
    "give a container more shared memory (docker run --shm-size), or pass "
    "--num_workers 0 or a smaller --batch_size"
)


def loader_options(hparams: dict, device: str | torch.device) -> dict:
    """Return what all DataLoaders of a run have in common."""
    workers = hparams["num_workers"]
    # Only a copy to a GPU can go on beside the work there.
    pins = hparams["pin_memory"] and torch.device(device).type == "cuda"
    options = {"num_workers": workers, "pin_memory": pins}
    if workers:
        options["timeout"] = TIMEOUT_SECONDS
        for key in ("persistent_workers", "prefetch_factor"):
            options[key] = hparams[key]
    return options


def whole_options(
    hparams: dict, device: str | torch.device, dataset: DynamicItemDataset
) -> dict:
    """Return the options of a DataLoader of whole utterances.

    Batches hold utterances of one length: padding would change what networks
    put out near it.
    """
    lengths = [dataset.data[name]["length"] for name in dataset.data_ids]
    batches = batches_of_one_length(lengths, hparams["eval_batch_size"])
    return {"batch_sampler": batches, **loader_options(hparams, device)}


def batches_of_one_length(lengths: list, size: int) -> list[list[int]]:
    """Return lists of at most ``size`` indices of equal ``lengths``.

    Example
    -------
    >>> batches_of_one_length([1.0, 2.0, 1.0, 1.0], size=2)
    [[0, 2], [3], [1]]
    """
    alike = {}
    for index, length in enumerate(lengths):
        alike.setdefault(length, []).append(index)
    return [
        indices[i : i + size]
        for indices in alike.values()
        for i in range(0, len(indices), size)
    ]


def require_shared_memory(hparams: dict, datasets: dict) -> None:
    """Refuse a training whose batches do not fit the shared memory.

    Workers hand on their batches in it. Where it is full, they end without a
    word to the training, which waits; containers often have 64 MB.
    """
    workers = hparams["num_workers"]
    if not workers or not SHARED_MEMORY.is_dir():
        return
    valid = datasets["valid"]
    seconds = [valid.data[name]["length"] for name in valid.data_ids]
    batches = batches_of_one_length(seconds, hparams["eval_batch_size"])
    largest = max(batches, key=lambda batch: len(batch) * seconds[batch[0]])
    longest = _tensors(valid[largest[0]])
    segments = _tensors(datasets["train"][0])
    # The item may be shorter than others.
    segment = hparams["segment_seconds"] * hparams["sample_rate"]
    frames = max(segment, *map(len, segments))
    item = sum(frames * s.element_size() for s in segments)
    whole = len(largest) * sum(signal.nbytes for signal in longest)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    count = (hparams["prefetch_factor"] * workers + _IN_USE) * processes
    needed = count * max(hparams["batch_size"] * item, whole)
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise UserError(
            f"the shared memory {SHARED_MEMORY} must have room for the batches "
            f"of num_workers {workers}, {needed / 1e6:.0f} MB, got "
            f"{free / 1e6:.0f} MB free; {_REMEDY}"
        )


def _tensors(item: dict) -> list[Tensor]:
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
