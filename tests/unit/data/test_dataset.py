"""Training segments are aligned, reproducible, and read from disk alone."""

import pickle

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader

from speechbrain_dfkd.data.dataset import (
    RandomCrop,
    crop_recordings,
    open_splits,
)
from speechbrain_dfkd.data.manifest import write_json
from speechbrain_dfkd.errors import UserError

RATE, SEGMENT = 1000, 0.4
# A sample's value is its position, and noisy is clean plus a constant.
STEP, OFFSET = 2.0**-12, 0.5
FRAMES = {"a_1": 1000, "a_2": 1001, "b_1": 400, "b_2": 100}


@pytest.fixture
def manifest(tmp_path):
    entries = {}
    for name, frames in FRAMES.items():
        clean = np.arange(frames) * STEP
        entries[name] = {"length": frames / RATE}
        for side, wav in (("noisy", clean + OFFSET), ("clean", clean)):
            path = tmp_path / f"{side}_{name}.wav"
            soundfile.write(path, wav, RATE, subtype="FLOAT")
            entries[name][f"{side}_wav"] = str(path)
    path = tmp_path / "all.json"
    write_json(path, entries)
    return path


@pytest.fixture
def counter():
    return EpochCounter(limit=9)


def _make(manifest, seed=1, segment_seconds=SEGMENT, counter=None):
    counter = counter or EpochCounter(limit=9)
    splits = ("train", "valid", "test")
    return open_splits(
        {
            **{f"{split}_annotation": manifest for split in splits},
            "segment_seconds": segment_seconds,
            "sample_rate": RATE,
            "seed": seed,
            "epoch_counter": counter,
            "best_metric": "si_sdr",
            "persistent_workers": False,
            "dataset": {"make_train": crop_recordings},
        }
    )


def _starts(dataset):
    return [round(float(item["clean_sig"][0] / STEP)) for item in dataset]


def test_segments_are_aligned_and_contiguous(manifest):
    for item in _make(manifest)["train"]:
        assert item["clean_sig"].dtype == torch.float32
        assert len(item["clean_sig"]) == min(400, FRAMES[item["id"]])
        assert (item["noisy_sig"] - item["clean_sig"] == OFFSET).all()
        assert (item["clean_sig"].diff() == STEP).all()


def test_only_the_segment_is_read(manifest, monkeypatch):
    read, frames = soundfile.read, []

    def spy(*args, **kwargs):
        wav, rate = read(*args, **kwargs)
        frames.append(len(wav))
        return wav, rate

    monkeypatch.setattr(soundfile, "read", spy)
    _make(manifest)["train"][0]
    assert frames == [400, 400]


def test_segments_depend_on_seed_and_epoch_alone(manifest, counter):
    train = _make(manifest, counter=counter)["train"]
    first = _starts(train)
    torch.manual_seed(9), np.random.seed(9)
    assert _starts(_make(manifest)["train"]) == first
    assert _starts(_make(manifest, seed=2)["train"]) != first
    counter.current = 2
    assert _starts(train) != first
    counter.current = 0
    assert _starts(train) == first


def test_every_position_is_drawn_and_none_beyond_the_end():
    counter = EpochCounter(limit=200)
    crop = RandomCrop(0.4, RATE, seed=0, epoch_counter=counter)
    starts = set()
    for _ in counter:
        starts.add(crop.span("a", 0.404)[0])
    assert starts == {0, 1, 2, 3, 4}
    assert crop.span("a", 9.999) != crop.span("b", 9.999)


def test_workers_see_the_epoch_and_give_the_same_segments(manifest, counter):
    train = _make(manifest, counter=counter)["train"]

    def batches(num_workers):
        loader = DataLoader(
            train, 2, num_workers=num_workers, collate_fn=PaddedBatch
        )
        return [batch.noisy_sig.data for batch in loader]

    alone, epochs = [], []
    for counter.current in (1, 2):
        alone.append(torch.stack([b[0, :400] for b in batches(0)]))
        epochs.append(torch.stack([b[0, :400] for b in batches(2)]))
    assert torch.equal(torch.stack(alone), torch.stack(epochs))
    assert not torch.equal(epochs[0], epochs[1])


def test_a_pickled_dataset_gives_the_same_items(manifest, counter):
    train = _make(manifest, counter=counter)["train"]
    counter.current = 3
    expected = _starts(train)
    assert _starts(pickle.loads(pickle.dumps(train))) == expected


@pytest.mark.parametrize("split", ["valid", "test"])
def test_evaluation_hears_whole_utterances_in_order(split, manifest):
    items = list(_make(manifest)[split])
    assert [item["id"] for item in items] == list(FRAMES)
    for item in items:
        assert len(item["noisy_sig"]) == FRAMES[item["id"]]
        assert (item["noisy_sig"] - item["clean_sig"] == OFFSET).all()


@pytest.mark.parametrize("seconds", [0, -1.0, 1.5, float("nan")])
def test_a_segment_that_fits_no_file_is_refused(seconds, manifest):
    with pytest.raises(UserError, match=r"segment_seconds .* 1\.001 s"):
        _make(manifest, segment_seconds=seconds)


def test_a_changed_file_is_named(manifest, tmp_path):
    datasets = _make(manifest)
    path = tmp_path / "clean_a_1.wav"
    soundfile.write(path, np.ones(10), RATE)
    with pytest.raises(UserError, match=r"clean_a_1\.wav must have \d+ samp"):
        datasets["train"][0]
    soundfile.write(path, np.ones(1000), 8000)
    with pytest.raises(UserError, match=r"clean_a_1\.wav must have 1000 Hz"):
        datasets["valid"][0]
    path.write_text("404: not found")
    with pytest.raises(UserError, match=r"clean_a_1\.wav must be readable"):
        datasets["train"][0]
    path.unlink()
    with pytest.raises(UserError, match=r"clean_a_1\.wav must exist"):
        list(DataLoader(datasets["train"], num_workers=1))
