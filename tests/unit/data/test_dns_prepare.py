"""The DNS recipe's preparation of a tiny corpus."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mixer_settings import MIXER

from speechbrain_dfkd.data import audio
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.recordings import Recordings
from speechbrain_dfkd.errors import UserError

ROOT = Path(__file__).parents[3]
TEST = "test_set/synthetic"


@pytest.fixture
def corpus(write_noise, tmp_path):
    """Return a corpus of 12 + 12 recordings, some equally named."""
    root = tmp_path / "corpus"
    for kind in ("clean", "noise"):
        for i in range(12):
            name = f"{'ab'[i % 2]}/{i // 2}.{'wav' if i else 'flac'}"
            write_noise(root / kind / name, 16000, 1600, seed=i)
    for test_set in ("no_reverb", "with_reverb"):
        for side in ("noisy", "clean"):
            for i in range(2):
                name = f"{TEST}/{test_set}/{side}/{side}_snr3_fileid_{i}.wav"
                seed = i + 10 * (side == "noisy")
                write_noise(root / name, 48000, 4800, seed=seed)
    return root


@pytest.fixture
def prepare(dns_prepare, tmp_path):
    def run(root, **settings):
        out = tmp_path / "out"
        paths = [out / f"{name}.json" for name in ("train", "valid", "test")]
        sizes = {"valid_share": 0.3, "valid_mixtures": 3, "valid_seconds": 0.5}
        dns_prepare.prepare_dns(
            root, out, *paths, 16000, Mixer(**MIXER),
            **{"n_jobs": 1, **sizes, **settings},
        )  # fmt: skip
        return [json.loads(path.read_bytes()) for path in paths]

    return run


@pytest.fixture
def checked(monkeypatch):
    """Return the list of the training files that are read from now on."""
    names, check = [], audio.check_header

    def spy(path, *settings):
        if TEST not in str(path):
            names.append(path.name)
        return check(path, *settings)

    monkeypatch.setattr(audio, "check_header", spy)
    return names


def names(table):
    return {recording.path for recording in Recordings(table)}


def test_manifests_are_disjoint_and_complete(corpus, prepare, tmp_path):
    train, valid, test = prepare(corpus)
    for kind in ("speech", "noise"):
        kept = names(train[kind])
        held = names(tmp_path / f"out/valid_{kind}.npy")
        assert kept and held and not kept & held
        assert len(kept | held) == 12
    assert train["impulse_responses"] is None
    assert [entry["length"] for entry in valid.values()] == [0.5] * 3
    assert {entry["test_set"] for entry in test.values()} == {
        *("no_reverb", "with_reverb")
    }
    assert len({entry["noisy_wav"] for entry in test.values()}) == 4
    for entry in test.values():
        assert soundfile.info(entry["clean_wav"]).samplerate == 16000


@pytest.fixture
def named_corpus(corpus, write_noise):
    """Return a corpus of 20 readers, noises and rooms, named as those are."""
    shutil.rmtree(corpus / "clean")
    shutil.rmtree(corpus / "noise")
    for i in range(20):
        for take in range(3):
            for name in (
                f"clean/book_{take}_chp_0009_reader_0{i}_{take}_x.wav",
                f"clean/{take}/{i}_{i}-1240-000{take}.wav",
                f"noise/a/door_Freesound_validated_3784{i}_{take}.wav",
                f"noise/esc__1-1000{i}-{'ABC'[take]}-0.wav",
                f"impulse_responses/smallroom/Room0{i}/Room0{i}-0000{take}.wav",
            ):
                write_noise(corpus / name, 16000, 1600, seed=60 * i + take)
    return corpus


def splits_of(train, out, table):
    """Return the names of both splits of a kind."""
    return names(train[table]), names(out / f"valid_{table}.npy")


GROUP = r"reader_\d+|/\d+_|Freesound_validated_\d+|__1-\d+|Room\d+"


@pytest.mark.parametrize("table", ["speech", "noise", "impulse_responses"])
def test_no_reader_recording_or_room_is_in_both_splits(
    table, named_corpus, prepare, tmp_path
):
    train, valid, _ = prepare(named_corpus, valid_share=0.2)
    kept, held = splits_of(train, tmp_path / "out", table)
    groups = [
        {re.search(GROUP, path)[0] for path in paths} for paths in (kept, held)
    ]
    assert all(groups) and not groups[0] & groups[1]
    total = {"speech": 40, "noise": 40, "impulse_responses": 20}[table]
    assert len(groups[0] | groups[1]) == total
    assert len(kept | held) == 3 * total
    # And validation is mixed from what was held out.
    tables = json.loads((tmp_path / "out/valid_tables.json").read_text())
    assert names(tables[table]) == held


def test_adding_takes_and_readers_moves_none(
    named_corpus, prepare, tmp_path, write_noise
):
    train = prepare(named_corpus, valid_share=0.2)[0]
    before = splits_of(train, tmp_path / "out", "speech")
    for i in range(10, 40):
        name = f"clean/new/book_9_chp_0001_reader_0{i}_7.wav"
        write_noise(named_corpus / name, 16000, 1600, seed=i)
    train = prepare(named_corpus, valid_share=0.2)[0]
    after = splits_of(train, tmp_path / "out", "speech")
    for old, new in zip(before, after, strict=True):
        assert old < new and "/new/" in str(new - old)


def test_groups_of_another_corpus_are_a_setting(corpus, prepare, tmp_path):
    for i, path in enumerate(sorted((corpus / "clean").glob("[ab]/*"))):
        path.rename(corpus / f"clean/voice{i // 2}-{i % 2}{path.suffix}")
    patterns = {"speech": [r"(voice\d+)-"]}
    train = prepare(corpus, valid_share=0.5, valid_groups=patterns)[0]
    voices = [
        {Path(path).stem[:6] for path in paths}
        for paths in splits_of(train, tmp_path / "out", "speech")
    ]
    assert all(voices) and not voices[0] & voices[1]


def test_few_impulse_responses_serve_both_splits(
    corpus, prepare, write_noise, tmp_path
):
    write_noise(corpus / "impulse_responses/1.wav", 16000, 800)
    train = prepare(corpus)[0]
    kept, held = splits_of(train, tmp_path / "out", "impulse_responses")
    assert kept == held and len(kept) == 1


def test_synthesised_pairs_of_a_reader_stay_together(
    corpus, prepare, write_noise
):
    for path in [*(corpus / "clean").glob("[ab]/*")]:
        path.unlink()
    for i in range(40):
        name = f"book_1_chp_2_reader_{i // 4:03d}_{i}_door_snr1_fileid_{i}.wav"
        write_noise(corpus / "noisy" / name, 16000, 1600, seed=i + 100)
        write_noise(corpus / f"clean/clean_fileid_{i}.wav", 16000, 1600, seed=i)
    readers = [
        {re.search(r"reader_\d+", e["noisy_wav"])[0] for e in split.values()}
        for split in prepare(corpus)[:2]
    ]
    assert all(readers) and not readers[0] & readers[1]


def test_adding_files_moves_none(corpus, prepare, checked, write_noise):
    before = names(prepare(corpus)[0]["speech"])
    assert len(checked) == 24
    valid = prepare(corpus)[1]
    assert len(checked) == 24, "a second call reads nothing"
    for i in range(8):
        write_noise(corpus / f"clean/new/{i}.wav", 48000, 4800, seed=i)
    train, after, _ = prepare(corpus)
    assert len(checked) == 32, "only what is new is read"
    old = {path for path in names(train["speech"]) if "/new/" not in path}
    assert old == before
    assert after.keys() == valid.keys()
    # A resampled copy that is gone is made again.
    (copy, *_) = names(train["speech"]) - before
    os.unlink(copy)
    prepare(corpus)
    assert os.path.exists(copy) and len(checked) == 33


def test_every_format_is_mixed(corpus, prepare):
    kinds = ("mp3", "ogg", "aiff", "flac", "W64")
    for i, path in enumerate(sorted((corpus / "noise").rglob("*.wav"))):
        wav, rate = soundfile.read(path)
        kind = kinds[i % 5]
        soundfile.write(path.with_suffix(f".{kind}"), wav, rate, format=kind)
        path.unlink()
    noises = prepare(corpus)[0]["noise"]
    held = Path(noises).with_name("valid_noise.npy")
    assert len(names(noises) | names(held)) == 12


def test_a_corpus_that_moved_goes_on(corpus, prepare, checked, tmp_path):
    before = prepare(corpus)
    kept = {os.path.basename(path) for path in names(before[0]["speech"])}
    corpus = corpus.rename(tmp_path / "moved")
    checked.clear()
    after = prepare(corpus)
    assert not checked, "nothing is read again"
    assert all(map(os.path.exists, names(after[0]["speech"])))
    assert {os.path.basename(p) for p in names(after[0]["speech"])} == kept
    os.truncate(corpus / "noise/a/1.wav", 0)
    with pytest.raises(UserError, match="is empty"):
        prepare(corpus)


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_spoilt_manifest_is_written_again(name, corpus, prepare, tmp_path):
    expected = prepare(corpus)
    table = Path(expected[0]["speech"])
    table.write_bytes(b"\x93NUMPY")
    (tmp_path / f"out/{name}.json").write_text("{")
    assert prepare(corpus) == expected
    assert len(Recordings(table)) > 0


def test_validation_mixtures_are_fixed(corpus, prepare):
    first = soundfile.read(prepare(corpus)[1]["mixture_0001"]["noisy_wav"])[0]
    prepare(corpus, valid_mixtures=2)
    again = soundfile.read(prepare(corpus)[1]["mixture_0001"]["noisy_wav"])[0]
    assert np.array_equal(first, again)


def test_an_interrupted_scan_goes_on(corpus, prepare, checked, monkeypatch):
    check, done = audio.check_header, []

    def interrupted(path, *settings):
        done.extend([path] * (TEST not in str(path)))
        if len(done) == 6:
            raise KeyboardInterrupt
        return check(path, *settings)

    with monkeypatch.context() as context:
        context.setattr(audio, "check_header", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus)
    checked.clear()
    prepare(corpus)
    assert len(checked) == 24 - 5


def test_synthesised_pairs_are_joined(corpus, prepare, write_noise):
    for i in range(20):
        for side in ("noisy", "clean"):
            name = f"{side}/{side}_snr1_fileid_{i}.wav"
            seed = i + 100 * (side == "noisy")
            write_noise(corpus / name, 16000, 1600, seed=seed)
    for path in [*(corpus / "clean").glob("[ab]/*")]:
        path.unlink()
    train, valid, _ = prepare(corpus)
    assert train and valid and len({*train, *valid}) == 20
    assert train[min(train)]["noisy_wav"].endswith(f"{min(train)}.wav")


def no_noise(corpus):
    for path in (corpus / "noise").rglob("*.*"):
        path.unlink()


def no_test_set(corpus):
    for path in (corpus / TEST).rglob("*.*"):
        path.unlink()


def silent_noise(corpus):
    soundfile.write(corpus / "noise/a/1.wav", np.zeros(1600), 16000)


def unreadable_speech(corpus):
    (corpus / "clean/b/2.wav").write_text("404: not found")


def same_fileid(corpus):
    folder = corpus / TEST / "no_reverb/noisy"
    (folder / "sub").mkdir()
    (folder / "noisy_snr3_fileid_1.wav").rename(folder / "sub/x_fileid_0.wav")


def lacks_twin(corpus):
    (corpus / TEST / "no_reverb/clean/clean_snr3_fileid_1.wav").unlink()


def link_to_nowhere(corpus):
    (corpus / "clean/a/link.wav").symlink_to("gone.wav")


def a_file_for_a_folder(corpus):
    shutil.rmtree(corpus / "noise")
    (corpus / "noise").touch()


def silent_first_channel(corpus):
    response = np.zeros((1600, 2))
    response[40, 1] = 0.5
    (corpus / "impulse_responses").mkdir()
    soundfile.write(corpus / "impulse_responses/1.wav", response, 16000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (link_to_nowhere, r"lead nowhere:\n.*clean/a/link\.wav\nput them"),
        (a_file_for_a_folder, r"noise must be a folder"),
        (silent_first_channel, r"silent(.|\n)*impulse_responses/1\.wav"),
        (no_noise, r"without any in\n  noise\nrecipes/DNS/README"),
        (no_test_set, "test_set/synthetic/no_reverb.*README"),
        (silent_noise, r"silent(.|\n)*noise/a/1\.wav"),
        (unreadable_speech, r"cannot be read(.|\n)*clean/b/2\.wav"),
        (same_fileid, r"x_fileid_0\.wav has the fileid of .*fileid_0\.wav"),
        (lacks_twin, r"noisy_snr3_fileid_1\.wav has no clean twin"),
    ],
)
def test_bad_data_are_named(spoil, message, corpus, prepare, tmp_path):
    spoil(corpus)
    with pytest.raises(UserError, match=message):
        prepare(corpus)
    assert not list((tmp_path / "out").glob("*.json"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("valid_share", 1e-9, "valid_share must leave.*clean/, got 1e-09"),
        ("valid_share", "few", "valid_share must be a share"),
        ("valid_groups", {"noise": ["("]}, "valid_groups.noise must be a list"),
        ("valid_groups", {"noise": "a"}, "valid_groups.noise must be a list"),
        (
            "valid_groups",
            {"sound": []},
            "valid_groups must be lists for speech",
        ),
        ("valid_mixtures", 0, "valid_mixtures must be an integer above 0"),
        ("valid_seconds", 0, "valid_seconds must be a number of at least 0.25"),
    ],
)
def test_impossible_settings_are_named(name, value, message, corpus, prepare):
    with pytest.raises(UserError, match=f"{message}(.|\n)*--dataset"):
        prepare(corpus, **{name: value})


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("noise/1-100032-B-0.wav", "1-100032"),
        ("noise/fan_0001.wav", "noise/fan_0001.wav"),
    ],
)
def test_a_group_is_named_in_the_file_or_it_is_the_file(
    name, group, dns_prepare
):
    assert dns_prepare.group_of(name, dns_prepare.GROUPS["noise"]) == group


def test_a_group_is_held_out_whole(dns_prepare):
    groups = ["a", "b", "c", "a"]
    split = dns_prepare.hold_out([10, 20, 30, 40], groups, 0.5, "numbers")
    assert split == ([20], [10, 30, 40])
