"""Shards check every recording once, go on after a kill, and merge."""

import multiprocessing
import os
import shutil

import pytest
import soundfile
from mixer_settings import MIXER

from speechbrain_dfkd import files
from speechbrain_dfkd.data import audio
from speechbrain_dfkd.data.audio import Scan
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.errors import UserError

MANIFESTS = ("train", "valid", "test")


@pytest.fixture
def paths(write_noise, tmp_path):
    """Return recordings of two rates, in sub-folders."""
    return [
        write_noise(
            tmp_path / f"in/{i % 3}/{i:02d}.wav", (16000, 48000)[i % 2], seed=i
        )
        for i in range(40)
    ]


@pytest.fixture
def scan(paths, tmp_path):
    """Return ``scan(number, count)`` of a shard, without these of all."""

    def scan(*shard):
        return Scan(tmp_path / "in", tmp_path / "out", 16000, 1, shard or None)

    return scan


@pytest.fixture
def read(monkeypatch):
    """Return the list of the recordings that are read from now on."""
    found, read_samples = [], audio.read_samples

    def spy(wav):
        found.append(wav.path)
        return read_samples(wav)

    monkeypatch.setattr(audio, "read_samples", spy)
    return found


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_recording_is_of_one_shard(count, paths, scan, read):
    shares = [scan(i + 1, count).find(paths) for i in range(count)]
    assert all(shares)
    assert sorted(read) == sorted(paths)
    assert sorted(wav.path for share in shares for wav in share) == paths_of(
        scan().find(paths)
    )
    assert len(read) == len(paths)


def paths_of(wavs):
    return sorted(wav.path for wav in wavs)


def test_a_shard_depends_on_the_name_within_the_corpus_alone(
    paths, scan, tmp_path
):
    shard = scan(1, 3).find(paths)
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "in", moved)
    again = [moved / path.relative_to(tmp_path / "in") for path in paths]
    found = Scan(moved, tmp_path / "new", 16000, 1, (1, 3)).find(again[::-1])
    names = [str(wav.path.relative_to(tmp_path / "in")) for wav in shard]
    assert [str(w.path.relative_to(moved)) for w in found[::-1]] == names


def test_a_killed_shard_goes_on_where_it_was(paths, scan, read, monkeypatch):
    share = paths_of(scan(2, 3).find(paths))
    shutil.rmtree(scan().cache)
    read.clear()
    kept = audio.read_samples

    def killed(wav):
        if len(read) == len(share) // 2:
            raise KeyboardInterrupt
        return kept(wav)

    with monkeypatch.context() as context:
        context.setattr(audio, "read_samples", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(2, 3).find(paths)
    # What a kill leaves of a line.
    log = scan().cache / "scanned-2-of-3.jsonl"
    log.write_text(f'{log.read_text()}\n["0/00.wav", [99')
    first = read.copy()
    assert len(first) == len(share) // 2
    read.clear()
    assert paths_of(scan(2, 3).find(paths)) == share
    assert sorted(first + read) == share


def test_shards_of_another_number_and_the_whole_find_what_is_known(
    paths, scan, read
):
    scan(1, 2).find(paths)
    known = read.copy()
    scan(1, 3).find(paths)
    scan(2, 3).find(paths)
    assert sorted(set(read)) == sorted(read) and set(known) < set(read)
    logs = sorted(path.name for path in scan().cache.glob("*.jsonl"))
    assert logs == [
        "scanned-1-of-2.jsonl",
        "scanned-1-of-3.jsonl",
        "scanned-2-of-3.jsonl",
    ]
    found = scan().find(paths)
    assert sorted(read) == sorted(paths)
    assert scan().find(paths) == found


def test_merged_logs_are_one_and_hold_all(paths, scan, read):
    for number in (1, 2):
        scan(number, 2).find(paths)
    merging = scan()
    found = merging.find(paths)
    merging.merge_logs()
    [log] = scan().cache.glob("*.jsonl")
    assert log.name == "scanned.jsonl"
    assert len(log.read_text().strip().splitlines()) == len(paths)
    assert scan().find(paths) == found
    assert len(read) == len(paths)
    merging.merge_logs()
    assert log.exists()


def test_of_two_states_in_two_logs_the_present_one_counts(
    paths, scan, read, write_noise
):
    scan(1, 1).find(paths)
    scan().find(paths)
    write_noise(paths[0], 16000, frames=999)
    assert scan(1, 1).find(paths)[0].frames == 999
    read.clear()
    assert scan().find(paths)[0].frames == 999
    assert read == []


def _find(scan, paths):
    scan.find(paths)


def test_shards_work_side_by_side(paths, scan, read):
    context = multiprocessing.get_context("spawn")
    shards = [
        context.Process(target=_find, args=(scan(i, 2), paths)) for i in (1, 2)
    ]
    for process in shards:
        process.start()
    for process in shards:
        process.join(120)
        assert process.exitcode == 0
    wavs = scan().recordings(paths)
    assert read == []
    assert [soundfile.info(wav.path).samplerate for wav in wavs] == [16000] * 40


def test_a_shard_names_its_bad_recordings_and_keeps_the_good(paths, scan, read):
    spoilt = paths[3:6]
    for path in spoilt:
        path.write_bytes(b"no audio")
    named = []
    for number in (1, 2):
        try:
            scan(number, 2).recordings(paths)
        except UserError as error:
            named += [p for p in spoilt if str(p) in str(error)]
    assert sorted(named) == spoilt
    assert len(read) == len(paths) - 3
    with pytest.raises(UserError, match="got 3 others") as error:
        scan().recordings(paths)
    assert all(str(path) in str(error.value) for path in spoilt)
    assert len(read) == len(paths) - 3


@pytest.fixture
def voicebank(voicebank_prepare, write_noise, tmp_path):
    """Return a function that prepares plain pairs of two rates."""
    for i in range(20):
        for side in ("clean", "noisy"):
            name = f"corpus/{side}/s{i % 5}/{i}.wav"
            write_noise(
                tmp_path / name, 48000, 4800, seed=100 * (side == "noisy") + i
            )
    return voicebank_prepare.prepare_voicebank, {}


@pytest.fixture
def dns(dns_prepare, write_noise, tmp_path):
    """Return a function that prepares recordings to mix, some resampled."""
    root = tmp_path / "corpus"
    for i in range(12):
        write_noise(root / f"clean/{i}.wav", 16000, 1600, seed=i)
        write_noise(root / f"noise/{i}.wav", 48000, 4800, seed=50 + i)
        write_noise(root / f"impulse_responses/{i}.wav", 48000, seed=i)
    for i in range(2):
        for side in ("clean", "noisy"):
            name = f"test_set/synthetic/no_reverb/{side}/fileid_{i}.wav"
            write_noise(
                root / name, 48000, 4800, seed=100 * (side == "noisy") + i
            )
    return dns_prepare.prepare_dns, {
        "mixer": Mixer(**MIXER),
        "valid_share": 0.3,
        "valid_mixtures": 2,
        "valid_seconds": 0.5,
    }


def _files(folder):
    """Return the content of all files but the logs, by name."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".jsonl"
    }


@pytest.mark.parametrize("recipe", ["voicebank", "dns"])
def test_shards_and_a_merge_write_what_one_call_writes(
    recipe, request, tmp_path, read
):
    function, settings = request.getfixturevalue(recipe)
    out = tmp_path / "out"
    manifests = [out / f"{name}.json" for name in MANIFESTS]

    def prepare(**shard):
        return function(
            tmp_path / "corpus", out, *manifests, 16000, n_jobs=1,
            **settings, **shard,
        )  # fmt: skip

    prepare()
    whole, files_read = _files(out), sorted(read)
    shutil.rmtree(out)
    read.clear()
    for number in (2, 1, 3):
        prepare(shard=(number, 3))
    assert not any(path.exists() for path in manifests)
    assert not (out / "prepared.json").exists()
    assert sorted(read) == files_read
    prepare()
    assert sorted(read) == files_read
    assert _files(out) == whole
    assert [path.name for path in out.rglob("*.jsonl")] == ["scanned.jsonl"]
    prepare(shard=(1, 2))
    assert _files(out) == whole


def test_files_are_asked_for_many_at_once(tmp_path, monkeypatch):
    paths = [tmp_path / str(i) for i in range(2000)]
    for path in paths[::2]:
        path.write_bytes(b"a" * len(path.name))
    asked, stat = [], os.stat

    def spy(path, **options):
        asked.append(path)
        return stat(path, **options)

    monkeypatch.setattr(files.os, "stat", spy)
    found = files.stats(paths)
    monkeypatch.undo()
    assert sorted(asked) == sorted(paths)
    for path, one in zip(paths[::2], found[::2], strict=True):
        assert one.st_size == len(path.name)
    assert found[1::2] == [None] * 1000
    assert files.stats([]) == []
