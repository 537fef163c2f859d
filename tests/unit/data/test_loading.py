"""Workers whose batches cannot get to the training are an error, no hang."""

from types import SimpleNamespace

import pytest
import torch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data import dataset
from speechbrain_dfkd.errors import UserError

LOADING = {
    "num_workers": 1,
    "prefetch_factor": 2,
    "persistent_workers": False,
    "pin_memory": True,
    "eval_batch_size": 2,
}


def signal(length):
    return torch.zeros(round(length * 16000))


def data_set(lengths):
    data = {f"u{i}": {"length": length} for i, length in enumerate(lengths)}
    items = [
        {"func": signal, "takes": ["length"], "provides": name}
        for name in ("noisy_sig", "clean_sig")
    ]
    return DynamicItemDataset(data, items, ["id", "noisy_sig", "clean_sig"])


@pytest.fixture
def shm(monkeypatch, tmp_path):
    """Return a function that sets the free bytes of the shared memory."""

    def set_free(size):
        monkeypatch.setattr(dataset, "SHARED_MEMORY", tmp_path)
        monkeypatch.setattr(
            dataset.shutil,
            "disk_usage",
            lambda path: SimpleNamespace(free=size),
        )

    return set_free


def check(workers=4, batch_size=12, valid=(2.0,)):
    hparams = {
        **LOADING,
        "num_workers": workers,
        "batch_size": batch_size,
        "segment_seconds": 4.0,
        "sample_rate": 16000,
    }
    datasets = {"train": data_set([1.0]), "valid": data_set(valid)}
    dataset.require_shared_memory(hparams, datasets)


# Ten batches of 12 pairs of 4 s in float32: 61.4 MB.
def test_what_fits_is_accepted(shm):
    shm(62_000_000)
    check()


def test_what_does_not_fit_is_refused_with_both_numbers(shm, monkeypatch):
    shm(61_000_000)
    with pytest.raises(UserError) as raised:
        check()
    for part in ("61 MB, got 61 MB", "--shm-size", "--num_workers 0"):
        assert part in str(raised.value)
    shm(120_000_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="123 MB, got 120 MB free"):
        check()


def test_long_validation_files_count(shm):
    shm(62_000_000)
    with pytest.raises(UserError, match="shared memory"):
        check(valid=(1.0, 60.0, 2.0))
    check(valid=(1.0, 25.0, 40.0))
    with pytest.raises(UserError, match="shared memory"):  # two at a time
        check(valid=(1.0, 25.0, 25.0))


def test_prefetched_batches_count(shm, monkeypatch):
    shm(62_000_000)
    monkeypatch.setitem(LOADING, "prefetch_factor", 3)
    with pytest.raises(UserError, match="86 MB, got 62 MB"):
        check()


def test_options_of_loaders(monkeypatch):
    assert dataset.loader_options({**LOADING, "num_workers": 0}, "cuda:1") == {
        "num_workers": 0,
        "pin_memory": True,
    }
    assert dataset.loader_options(LOADING, "cpu") == {
        "num_workers": 1,
        "pin_memory": False,
        "timeout": 600,
        "persistent_workers": False,
        "prefetch_factor": 2,
    }
    data = data_set([1.0, 2.0, 1.0, 1.0])
    options = dataset.whole_options(LOADING, "cpu", data)
    assert options["batch_sampler"] == [[0, 2], [3], [1]]


def epochs_seen(counter, **options):
    class Epochs(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return counter.current

    loader = SaveableDataLoader(Epochs(), num_workers=2, **options)
    return [{value.item() for value in loader} for _ in counter]


def test_workers_that_persist_see_the_epoch():
    options = {"persistent_workers": True}
    counter = dataset.SharedEpochCounter(3)
    assert epochs_seen(counter, **options) == [{1}, {2}, {3}]
    # SpeechBrain's own would show them the first epoch for ever.
    stale = EpochCounter(3)
    assert epochs_seen(stale, **options) == [{1}, {1}, {1}]
    assert epochs_seen(EpochCounter(3)) == [{1}, {2}, {3}]


def test_the_shared_counter_is_saved_and_found(tmp_path):
    counter = dataset.SharedEpochCounter(5)
    keeper = Checkpointer(tmp_path, {"epoch_counter": counter})
    assert [next(counter), next(counter)] == [1, 2]
    keeper.save_checkpoint()
    again = dataset.SharedEpochCounter(5)
    Checkpointer(tmp_path, {"epoch_counter": again}).recover_if_possible()
    assert again.current == 2 and next(again) == 3
    assert counter.current == 2


def test_without_workers_or_shared_memory_nothing_is_checked(shm, monkeypatch):
    shm(0)
    check(workers=0)
    monkeypatch.setattr(dataset, "SHARED_MEMORY", dataset.Path("/no/such"))
    check()


class Hangs(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        torch.multiprocessing.Event().wait()


class Dies(Hangs):
    def __getitem__(self, index):
        dataset.os._exit(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [(Hangs(), "timed out after 1 seconds"), (Dies(), "exited unexpectedly")],
)
def test_lost_workers_end_the_training(data, message, monkeypatch):
    monkeypatch.setattr(dataset, "TIMEOUT_SECONDS", 1)
    options = dataset.loader_options(LOADING, "cpu")
    loader = torch.utils.data.DataLoader(data, **options)
    with pytest.raises(UserError, match=f"{message}[^$]*--num_workers 0"):
        with dataset.lost_workers_are_user_errors():
            list(loader)


def test_an_error_of_the_data_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="Caught"):
        with dataset.lost_workers_are_user_errors():
            raise RuntimeError("Caught RuntimeError in DataLoader worker 0.")
