"""The demo corpus on disk: layout, contents, repeatability, interruptions."""

import collections
import errno
import os
import wave

import numpy as np
import pytest

from speechbrain_dfkd.demo_corpus import corpus, make_demo_corpus, noise
from speechbrain_dfkd.errors import UserError

SIZE = {
    "utterances_per_speaker": 2,
    "test_utterances": 5,
    "min_seconds": 0.5,
    "max_seconds": 1.0,
    "progress": False,
}
FOLDERS = {
    "clean_trainset_28spk_wav_16k": 56,
    "noisy_trainset_28spk_wav_16k": 56,
    "clean_testset_wav_16k": 5,
    "noisy_testset_wav_16k": 5,
}


@pytest.fixture(scope="module", name="made")
def fixture_made(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("demo") / "corpus"
    make_demo_corpus(out, **SIZE)
    return out


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _read(path):
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
        data = file.readframes(file.getnframes())
        return np.frombuffer(data, "<i2") / 32767, file.getframerate()


def test_layout_is_that_of_voicebank_demand(made):
    found = {
        f.name: len(list(f.iterdir())) for f in made.iterdir() if f.is_dir()
    }
    assert found == FOLDERS
    assert (made / "noisy_trainset_28spk_wav_16k/p226_002.wav").is_file()
    names = {path.name for path in (made / "clean_testset_wav_16k").iterdir()}
    assert names == {f"p232_00{i}.wav" for i in (1, 2, 3)} | {
        f"p257_00{i}.wav" for i in (1, 2)
    }


@pytest.mark.parametrize("split", ["trainset_28spk", "testset"])
def test_pairs_are_speech_and_the_same_speech_in_noise(made, split):
    for line in (made / f"log_{split}.txt").read_text().splitlines():
        name, _, snr_db = line.split()
        (clean, rate), (noisy, _) = (
            _read(made / f"{kind}_{split}_wav_16k" / f"{name}.wav")
            for kind in ("clean", "noisy")
        )
        assert rate == 16000 and clean.shape == noisy.shape
        assert -40 < 20 * np.log10(clean.std()) < -21
        assert np.abs(noisy).max() <= 0.991
        ratio = np.mean(clean**2) / np.mean((noisy - clean) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(int(snr_db), abs=0.05)


def test_lengths_are_multiples_of_nothing(made):
    lengths = {len(_read(path)[0]) for path in made.rglob("*.wav")}
    assert all(15800 < length < 16000 for length in lengths)
    assert all(length % 2 for length in lengths)
    # All steps of a frame are tried: from few samples more to few too few.
    remainders = {length % 200 for length in lengths}
    assert min(remainders) < 20 and max(remainders) > 180


def test_snrs_and_noises_are_used_evenly():
    kinds = noise.KINDS["train"]
    turns = [
        corpus.turn("train", speaker + number)
        for speaker in range(28)
        for number in range(36)
    ]
    assert set(collections.Counter(turns).values()) == {28}
    assert len(set(turns)) == 4 * len(kinds)


def test_same_arguments_give_the_same_bytes(made, tmp_path):
    make_demo_corpus(tmp_path / "again", **SIZE)
    assert _contents(tmp_path / "again") == _contents(made)


def test_another_seed_gives_other_sound(made, tmp_path):
    make_demo_corpus(tmp_path / "other", **SIZE, seed=1)
    one, other = _contents(made), _contents(tmp_path / "other")
    assert one.keys() == other.keys()
    wavs = [name for name in one if name.endswith(".wav")]
    assert all(one[name] != other[name] for name in wavs)


def test_complete_corpus_is_left_alone(made, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    monkeypatch.setattr(corpus, "_pairs", None)
    make_demo_corpus(made, **SIZE)
    assert {p: p.stat().st_mtime_ns for p in made.rglob("*")} == before


def test_other_arguments_are_refused(made):
    with pytest.raises(UserError, match="choose another folder, or delete"):
        make_demo_corpus(made, **SIZE, seed=3)


def test_foreign_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        make_demo_corpus(tmp_path, **SIZE)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_missing_wavs_are_noticed(tmp_path):
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "corpus"
    make_demo_corpus(out, **SIZE)
    (out / "clean_testset_wav_16k/p232_001.wav").unlink()
    with pytest.raises(UserError, match="must hold 122 wav files, got 121"):
        make_demo_corpus(out, **SIZE)


def _fail_at_fifth_wav(monkeypatch, error):
    write = corpus.write_wav
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise error
        write(*arguments)

    monkeypatch.setattr(corpus, "write_wav", failing)


def test_full_disk_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    full = OSError(errno.ENOSPC, "No space left on device")
    _fail_at_fifth_wav(monkeypatch, full)
    with pytest.raises(OSError, match="No space left"):
        make_demo_corpus(tmp_path / "corpus", **SIZE)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    _fail_at_fifth_wav(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make_demo_corpus(tmp_path / "corpus", **SIZE)
    assert list(tmp_path.iterdir()) == []


def test_killed_build_is_removed_but_one_under_way_is_not(made, tmp_path):
    killed, running = (
        tmp_path / f".corpus.building-{name}" for name in ("a", "b")
    )
    killed.mkdir()
    running.mkdir()
    os.utime(killed, (0, 0))
    make_demo_corpus(tmp_path / "corpus", **SIZE)
    assert not killed.exists() and running.exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"utterances_per_speaker": 0}, "utterances_per_speaker must be at"),
        ({"test_utterances": 0}, "test_utterances must be at least 1, got 0"),
        ({"min_seconds": 0.1}, "min_seconds must be at least 0.5, got 0.1"),
        ({"max_seconds": 0.4}, "max_seconds must be at least min_seconds"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_arguments_out_of_range_are_user_errors(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        make_demo_corpus(tmp_path / "corpus", **{**SIZE, **change})
    assert list(tmp_path.iterdir()) == []
