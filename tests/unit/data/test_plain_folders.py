"""Own folders clean/ and noisy/ are a data set as they stand."""

import json

import numpy as np
import pytest
import soundfile

from speechbrain_dfkd.errors import UserError

SPEAKERS = [f"s{i}" for i in range(12)]


@pytest.fixture
def prepare(voicebank_prepare, tmp_path):
    """Return a function that prepares into ``out`` and reads the manifests."""

    def run(data_folder, **settings):
        out = tmp_path / "out"
        paths = [out / f"{name}.json" for name in ("train", "valid", "test")]
        voicebank_prepare.prepare_voicebank(
            str(data_folder), str(out), *paths, **{"n_jobs": 1, **settings}
        )
        return [json.loads(path.read_bytes()) for path in paths]

    return run


def _write(path, seed, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    wav = np.random.default_rng(seed).uniform(-0.3, 0.3, rate // 10)
    soundfile.write(path, wav, rate)


def _pairs(root, names, noisy="noisy", clean="clean", rate=16000):
    for seed, name in enumerate(names):
        _write(root / noisy / name, seed, rate)
        _write(root / clean / name, seed + 1000, rate)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_sub_folders_and_formats_are_taken(rate, prepare, tmp_path, capsys):
    names = [
        f"{s}/{i}.{k}" for s in SPEAKERS for i, k in ((1, "wav"), (2, "flac"))
    ]
    _pairs(tmp_path / "own", names, rate=rate)
    splits = prepare(tmp_path / "own")
    assert sum(map(len, splits)) == 24 and all(splits)
    speakers = [{name.split("-")[0] for name in split} for split in splits]
    assert sum(map(len, speakers)) == 12, "no speaker is in two splits"
    entries = {k: v for split in splits for k, v in split.items()}
    assert len({e["clean_wav"] for e in entries.values()}) == 24
    for entry in entries.values():
        assert soundfile.info(entry["noisy_wav"]).samplerate == 16000
    counts = "{} train, {} valid, {} test".format(*map(len, splits))
    assert counts in capsys.readouterr().out
    assert prepare(tmp_path / "own") == splits


@pytest.mark.parametrize("by_split", [True, False])
def test_given_splits_are_used(by_split, prepare, tmp_path):
    for split, names in (("train", "abc"), ("dev", "d"), ("test", "ef")):
        sides = [f"{split}/{s}" if by_split else f"{s}/{split}"
                 for s in ("noisy", "clean")]  # fmt: skip
        _pairs(
            tmp_path / "own", [f"{n}.wav" for n in names], *sides, rate=48000
        )
    assert [[*s] for s in prepare(tmp_path / "own")] == [
        [*"abc"], ["d"], [*"ef"]
    ]  # fmt: skip


def test_what_no_split_holds_is_held_out(prepare, tmp_path):
    root = tmp_path / "own"
    _pairs(root, [f"{s}_{i}.wav" for s in SPEAKERS for i in (1, 2)])
    _pairs(root / "test", ["x.wav"])
    train, valid, test = prepare(root)
    assert [*test] == ["x"] and len(train) + len(valid) == 24 and valid


def test_flac_copies_of_the_archives_with_folders_of_speakers(
    prepare, tmp_path
):
    names = [f"{s}/{s}_001.flac" for s in ("p226", "p227", "p287")]
    sides = [f"{s}_trainset_56spk_wav" for s in ("noisy", "clean")]
    _pairs(tmp_path / "own", names, *sides)
    sides = [f"{s}_testset" for s in ("noisy", "clean")]
    _pairs(tmp_path / "own", ["p232_001.flac"], *sides)
    train, valid, test = prepare(tmp_path / "own")
    assert [[*train], [*valid], [*test]] == [
        ["p227_001"], ["p226_001", "p287_001"], ["p232_001"]
    ]  # fmt: skip


def test_all_faults_are_told_at_once(prepare, tmp_path):
    root = tmp_path / "own"
    _pairs(root, [f"{i}.wav" for i in range(9)])
    (root / "clean/1.wav").unlink()
    (root / "noisy/2.wav").write_text("404: not found")
    _write(root / "noisy/3.wav", 0, rate=48000)
    soundfile.write(root / "clean/4.wav", np.zeros(1600), 16000)
    with pytest.raises(UserError) as error:
        prepare(root)
    for fragment in (
        "1.wav has no clean twin",
        "is text: '404",
        "3: noisy",
        "clean/4.wav",
        "are silent",
    ):
        assert fragment in str(error.value)


def test_too_few_pairs_are_refused(prepare, tmp_path):
    _pairs(tmp_path / "own", ["a.wav", "b.wav"])
    with pytest.raises(UserError, match="enough pairs to hold out"):
        prepare(tmp_path / "own")
    assert not list((tmp_path / "out").glob("*.json"))


def test_few_speakers_are_split_by_recording(voicebank_prepare):
    hold_out_speakers = voicebank_prepare.hold_out_speakers
    speakers = {f"{s}_{i}": s for s in "ab" for i in range(50)}
    held = hold_out_speakers(speakers, speakers, {"test": 0.1, "valid": 0.1})
    assert [len(held[s]) for s in ("train", "valid", "test")] == [80, 10, 10]
    again = hold_out_speakers(speakers, speakers, {"test": 0.1, "valid": 0.1})
    assert held == again


@pytest.mark.parametrize("share", ["few", 1.5, None])
def test_a_share_that_is_none_is_refused(share, voicebank_prepare):
    names = {name: name for name in "abc"}
    with pytest.raises(UserError, match="test_share must"):
        voicebank_prepare.hold_out_speakers(names, names, {"test": share})


def test_a_speaker_is_held_out_whole(voicebank_prepare):
    names = [f"{speaker}_{i}" for speaker in "abcdefgh" for i in (1, 2)]
    speakers = {name: name[0] for name in names}
    held = voicebank_prepare.hold_out_speakers(
        speakers, speakers, {"test": 0.1}
    )
    assert list(held["test"]) == ["e_1", "e_2"]
    assert len(held["train"]) == 14
