"""The log's numbers are right, also when an epoch was interrupted."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from speechbrain_dfkd.training.train_logger import (
    TrainingTerms,
    histogram_quantiles,
)


def batches():
    return [
        {"l_low": torch.tensor(float(i)), "bins": torch.arange(4.0) + i}
        for i in range(5)
    ]


def test_resumed_epoch_has_the_numbers_of_a_whole_one(tmp_path):
    whole = TrainingTerms()
    for batch in batches():
        whole.append(batch)
    first = TrainingTerms()
    for batch in batches()[:2]:
        first.append(batch)
    first._save(tmp_path / "terms.ckpt")
    second = TrainingTerms()
    second._load(tmp_path / "terms.ckpt", end_of_epoch=False)
    for batch in batches()[2:]:
        second.append(batch)
    assert second.means() == whole.means() == {"l_low": 2.0}
    torch.testing.assert_close(second.histograms(), whole.histograms())


@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_sums_of_a_checkpoint_go_to_the_device_of_the_training(
    tmp_path, device
):
    saved = TrainingTerms()
    saved.append(batches()[0])
    saved._save(tmp_path / "terms.ckpt")
    terms = TrainingTerms()
    terms._load(tmp_path / "terms.ckpt", end_of_epoch=False)
    # A fake device computes shapes and checks devices as a real one does.
    with FakeTensorMode(allow_non_fake_inputs=True):
        for batch in batches()[1:]:
            on_device = {
                name: torch.empty(value.shape, device=device)
                for name, value in batch.items()
            }
            terms.append(on_device)
        assert {v.device.type for v in terms.sums.values()} == {device}


@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_terms_of_a_skipped_step_are_taken_back_on_its_device(device):
    terms = TrainingTerms()
    with FakeTensorMode():
        for _ in range(2):
            before = terms.snapshot()
            for skipped in (True, False):
                bins = torch.empty(4, device=device)
                terms.append({"bins": bins, "kd_weight": torch.empty(())})
                if skipped:
                    terms.restore(before)
        assert terms.counts == {"bins": 2, "kd_weight": 2}
        assert terms.sums["bins"].device.type == device
        assert terms.sums["kd_weight"].device.type == "cpu"


def test_restored_terms_know_nothing_of_a_later_batch():
    terms = TrainingTerms()
    terms.append(batches()[1])
    before = terms.snapshot()
    terms.append({"l_low": torch.tensor(float("nan")), "other": torch.ones(2)})
    terms.count("skipped_steps")
    terms.restore(before)
    assert terms.means() == {"l_low": 1.0}
    assert list(terms.histograms()) == ["bins"]
    assert terms.events == {}


def test_checkpoint_of_a_whole_epoch_starts_the_next_one_empty(tmp_path):
    terms = TrainingTerms()
    terms.append(batches()[1])
    terms._save(tmp_path / "terms.ckpt")
    terms._load(tmp_path / "terms.ckpt", end_of_epoch=True)
    assert terms.means() == {}


def test_terms_keep_no_graph():
    terms = TrainingTerms()
    terms.append({"l_se": torch.ones((), requires_grad=True) * 2})
    assert not terms.sums["l_se"].requires_grad


def test_quantiles_in_hz():
    counts = torch.zeros(257)
    counts[1], counts[10], counts[256] = 6, 3, 1
    assert histogram_quantiles(counts, 16000) == {
        "p10_hz": 31.25,
        "p50_hz": 31.25,
        "p90_hz": 312.5,
    }


@pytest.mark.parametrize("counts", [torch.zeros(3)])
def test_no_entries_no_quantiles(counts):
    assert histogram_quantiles(counts, 16000) == {}
