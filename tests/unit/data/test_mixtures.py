"""Mixtures are a function of (seed, epoch, index), read from disk alone."""

import pickle

import numpy as np
import pytest
import soundfile
import torch
from mixer_settings import MIXER
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader

from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.data.manifest import check_manifest, write_json
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.mixtures import mix_recordings
from speechbrain_dfkd.data.recordings import Recordings, write_recordings
from speechbrain_dfkd.errors import UserError

RATE = 16000
KINDS = {"speech": 1, "noise": 1, "impulse_responses": 2}


@pytest.fixture
def corpus(write_noise, tmp_path):
    """Return a manifest of five short recordings of each kind."""
    for kind, channels in KINDS.items():
        wavs = []
        for i in range(5):
            path, frames = tmp_path / kind / f"{i}.wav", 3000 + 1000 * i
            # Impulse responses come at any rate, with several channels.
            rate = RATE * channels
            write_noise(path, rate, frames, seed=i, channels=channels)
            wavs.append(WavFile(path, rate, frames))
        write_recordings(tmp_path / f"{kind}.npy", wavs)
    write_json(tmp_path / "train.json", {kind: f"{kind}.npy" for kind in KINDS})
    return tmp_path / "train.json"


def make(manifest, seed=1, counter=None, count=12):
    counter = counter or EpochCounter(limit=9)
    mixer = Mixer(**MIXER)
    return mix_recordings(manifest, 0.5, RATE, seed, counter, mixer, count)


def signals(dataset, num_workers=0):
    loader = DataLoader(
        dataset, 3, num_workers=num_workers, collate_fn=PaddedBatch
    )
    batches = list(loader)
    return torch.cat(
        [
            torch.stack((batch.noisy_sig.data, batch.clean_sig.data), 1)
            for batch in batches
        ]
    )


def test_items_are_whole_segments(corpus):
    dataset = make(corpus)
    assert len(dataset) == 12
    item = dataset[7]
    assert item["id"] == "mixture_7"
    for key in ("noisy_sig", "clean_sig"):
        assert (item[key].dtype, len(item[key])) == (torch.float32, 8000)
    assert not torch.equal(item["noisy_sig"], item["clean_sig"])


def test_mixtures_depend_on_seed_epoch_and_index_alone(corpus):
    counter = EpochCounter(limit=9)
    dataset = make(corpus, counter=counter)
    first = signals(dataset)
    assert len({wav.numpy().tobytes() for wav in first}) == 12
    torch.manual_seed(9), np.random.seed(9)
    assert torch.equal(signals(dataset, num_workers=2), first)
    assert torch.equal(make(corpus)[7]["noisy_sig"], first[7, 0])
    assert not torch.equal(signals(make(corpus, seed=2)), first)
    counter.current = 2
    second = signals(dataset, num_workers=1)
    assert not torch.equal(second, first)
    assert torch.equal(signals(pickle.loads(pickle.dumps(dataset))), second)


def is_gone(path):
    path.unlink()


def is_cut(path):
    soundfile.write(path, np.ones(100), RATE)


def is_no_audio(path):
    path.write_text("404: not found")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (is_gone, "must exist, got no such file"),
        (is_no_audio, "must be readable"),
    ],
)
def test_an_unreadable_recording_is_named(spoil, found, kind, corpus, tmp_path):
    for path in (tmp_path / kind).iterdir():
        spoil(path)
    message = rf"{kind}/\d\.wav {found}(.|\n)*without skip_prep"
    with pytest.raises(UserError, match=message):
        list(make(corpus))


def test_one_spoilt_recording_changes_no_mixture_without_it(corpus, tmp_path):
    before, named = signals(make(corpus)), 0
    is_cut(tmp_path / "speech/2.wav")
    dataset = make(corpus)
    for index, old in enumerate(before):
        try:
            assert torch.equal(dataset[index]["noisy_sig"], old[0])
        except UserError as error:
            assert "speech/2.wav must have" in str(error)
            named += 1
    assert 0 < named < len(before)


def test_recordings_that_are_gone_are_named_before_a_training(corpus, tmp_path):
    check_manifest(corpus, RATE)
    gone = [tmp_path / "noise/3.wav", tmp_path / "speech/2.wav"]
    for path in gone:
        path.unlink()
    with pytest.raises(UserError, match="got 2 that are not") as error:
        check_manifest(corpus, RATE)
    assert all(str(path) in str(error.value) for path in gone)


def test_an_epoch_is_as_long_as_the_speech_by_default(corpus):
    assert len(make(corpus, count=None)) == 5
    for count in (0, 2.5, "many"):
        with pytest.raises(UserError, match="mixtures_per_epoch must be an in"):
            make(corpus, count=count)


def test_synthesised_pairs_are_cropped(write_noise, tmp_path):
    entries = {}
    for name in ("a", "b", "c"):
        path = str(write_noise(tmp_path / f"{name}.wav", RATE, RATE))
        entries[name] = {"noisy_wav": path, "clean_wav": path, "length": 1.0}
    write_json(tmp_path / "train.json", entries)
    pairs = make(tmp_path / "train.json")
    item = pairs[0]
    assert item["id"] == "a" and len(item["noisy_sig"]) == 8000
    (tmp_path / "a.wav").unlink()
    with pytest.raises(UserError, match=r"a\.wav must exist, got no such file"):
        pairs[0]
    assert pairs[1]["id"] == "b"


def test_recordings_are_shared_and_sorted(tmp_path):
    paths = [tmp_path / name for name in ("b.wav", "é" * 40, "a.wav")]
    table = tmp_path / "table.npy"
    write_recordings(table, [WavFile(path, RATE, 5) for path in paths])
    recordings = Recordings(table)
    assert [r.path for r in recordings] == sorted(map(str, paths))
    assert isinstance(recordings._rows, np.memmap)
    # A worker that is started anew gets the name of the file, not its content.
    assert len(pickle.dumps(recordings)) < 300
    assert pickle.loads(pickle.dumps(recordings))[1] == recordings[1]


@pytest.mark.parametrize("by_duration, share", [(False, 1 / 3), (True, 1 / 10)])
def test_long_recordings_are_drawn_more_often_where_asked(
    by_duration, share, tmp_path
):
    table = tmp_path / "table.npy"
    lengths = {"a": 100, "b": 300, "c": 600}
    write_recordings(
        table, [WavFile(tmp_path / k, RATE, n) for k, n in lengths.items()]
    )
    recordings, rng = Recordings(table), np.random.default_rng(0)
    drawn = [recordings.draw(rng, by_duration).path for _ in range(3000)]
    assert len(set(drawn)) == 3
    assert drawn.count(str(tmp_path / "a")) / 3000 == pytest.approx(
        share, abs=0.03
    )


@pytest.mark.parametrize("spoil", ["missing", "cut", "empty"])
def test_a_spoilt_table_is_named(spoil, tmp_path):
    table = tmp_path / "speech.npy"
    if spoil == "cut":
        table.write_bytes(b"\x93NUMPY")
    if spoil == "empty":
        write_recordings(table, [])
    with pytest.raises(UserError, match=r"speech\.npy must list recordings"):
        Recordings(table)
