"""The recipe's preparation of a tiny corpus in the official layout."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from speechbrain_dfkd.data import audio
from speechbrain_dfkd.errors import UserError

NAMES = {
    "trainset_28spk": ["p226_001", "p227_001", "p228_001", "p287_001"],
    "testset": ["p232_001", "p257_001"],
}
FOLDERS = [f"{s}_{n}_wav" for s in ("clean", "noisy") for n in NAMES]


@pytest.fixture
def corpus(write_noise, tmp_path):
    """Return a function that writes the corpus and returns its folder."""

    def make(folder="corpus", rate=48000, suffix=""):
        for split, names in NAMES.items():
            for side in ("clean", "noisy"):
                for seed, name in enumerate(names):
                    path = f"{folder}/{side}_{split}_wav{suffix}/{name}.wav"
                    seed += 10 * (side == "noisy")
                    write_noise(tmp_path / path, rate, rate // 10, seed)
        return tmp_path / folder

    return make


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


@pytest.fixture
def reads(monkeypatch):
    """Return the list of the recordings that are read from now on."""
    names = []

    def spy(wav):
        names.append(wav.path.stem)
        return read_samples(wav)

    read_samples = audio.read_samples
    monkeypatch.setattr(audio, "read_samples", spy)
    return names


def test_48_khz_is_resampled_beside_the_manifests(corpus, prepare, tmp_path):
    train, valid, test = prepare(corpus())
    assert list(train) == ["p227_001", "p228_001"]
    assert list(valid) == ["p226_001", "p287_001"]
    assert list(test) == ["p232_001", "p257_001"]
    entry = train["p227_001"]
    copies = tmp_path / "out/recordings"
    assert entry == {
        "noisy_wav": str(copies / "noisy_trainset_28spk_wav/p227_001.wav"),
        "clean_wav": str(copies / "clean_trainset_28spk_wav/p227_001.wav"),
        "length": 0.1,
    }
    assert soundfile.info(entry["noisy_wav"]).samplerate == 16000


@pytest.mark.parametrize("suffix", ["", "_16k"])
def test_16_khz_is_used_in_place(suffix, corpus, prepare, tmp_path):
    data_folder = corpus(rate=16000, suffix=suffix)
    for manifest in prepare(data_folder):
        for entry in manifest.values():
            assert entry["noisy_wav"].startswith(f"{data_folder}/noisy_")
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_folders_one_level_down_are_found(corpus, prepare, tmp_path):
    corpus("corpus/unzipped")
    assert len(prepare(tmp_path / "corpus")[0]) == 2


def test_folders_in_folders_of_their_name_are_found(corpus, prepare):
    data_folder = corpus()
    for name in FOLDERS:
        os.rename(data_folder / name, data_folder / "inner")
        (data_folder / name).mkdir()
        os.rename(data_folder / "inner", data_folder / name / name)
    assert len(prepare(data_folder)[0]) == 2


def test_a_half_cache_is_not_taken_for_the_corpus(corpus, prepare, tmp_path):
    corpus("unzipped")
    corpus("out", rate=16000, suffix="_16k")
    for path in (tmp_path / "out").rglob("p228_*.wav"):
        path.unlink()
    assert list(prepare(tmp_path)[0]) == ["p227_001", "p228_001"]


def test_one_side_at_16_khz_does_not_hide_both_at_48(corpus, prepare):
    data_folder = corpus()
    corpus(rate=16000, suffix="_16k")
    for path in data_folder.glob("clean_*_16k/*.wav"):
        path.unlink()
    path = prepare(data_folder)[0]["p227_001"]["noisy_wav"]
    assert "out/recordings/noisy_trainset_28spk_wav/" in path


def test_a_second_call_reads_nothing(corpus, prepare, reads, caplog):
    data_folder = corpus(rate=16000)
    caplog.set_level("INFO")
    first = prepare(data_folder)
    assert len(reads) == 12
    assert prepare(data_folder) == first
    assert len(reads) == 12
    assert "prepared already" in caplog.records[-1].message


def test_changes_are_noticed(corpus, prepare, reads, write_noise, tmp_path):
    data_folder = corpus()
    prepare(data_folder)
    reads.clear()
    for side in ("noisy", "clean"):
        folder = data_folder / f"{side}_trainset_28spk_wav"
        write_noise(folder / "p229_001.wav", frames=4800)
        (folder / "p228_001.wav").unlink()
    assert list(prepare(data_folder)[0]) == ["p227_001", "p229_001"]
    assert reads == ["p229_001"] * 2
    train, valid, _ = prepare(data_folder, valid_speakers=["p227"])
    assert "p227_001" in valid and "p226_001" in train
    assert reads == ["p229_001"] * 2
    Path(train["p226_001"]["clean_wav"]).unlink()
    prepare(data_folder, valid_speakers=["p227"])
    assert reads == ["p229_001"] * 2 + ["p226_001"]


def test_an_interrupted_change_is_not_taken_for_done(
    corpus, prepare, voicebank_prepare, monkeypatch
):
    data_folder = corpus()
    expected = prepare(data_folder)
    write, calls = voicebank_prepare.write_manifest, []

    def interrupted(path, pairs):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(path, pairs)

    with monkeypatch.context() as context:
        context.setattr(voicebank_prepare, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(data_folder, valid_speakers=["p227"])
    assert prepare(data_folder) == expected


def test_a_killed_preparation_goes_on(corpus, prepare, tmp_path, write_noise):
    data_folder = corpus()
    for i in range(200):
        for side in ("noisy", "clean"):
            name = f"{side}_trainset_28spk_wav/p227_{i + 2:03}.wav"
            write_noise(data_folder / name, frames=48000)
    out = tmp_path / "out"
    code = (
        "import sys; sys.path.insert(0, 'recipes/VoiceBank');"
        "from voicebank_prepare import prepare_voicebank as prepare;"
        f"o = {str(out)!r};"
        f"prepare({str(data_folder)!r}, o, o + '/train.json',"
        "o + '/valid.json', o + '/test.json', n_jobs=1)"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    while process.poll() is None and len(list(out.rglob("*.wav"))) < 10:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(out.glob("*.json"))
    before = {path: path.stat().st_ino for path in out.rglob("[!.]*.wav")}
    assert len(prepare(data_folder)[0]) == 202
    kept = [path for path in before if path.stat().st_ino == before[path]]
    # The kill may fall between a file and its time stamp.
    assert len(kept) >= len(before) - 1


def test_another_corpus_needs_another_folder(corpus, prepare, write_noise):
    prepare(corpus("one"))
    for path in (two := corpus("two")).rglob("noisy_*/*.wav"):
        write_noise(path, frames=4800, seed=99)  # of the same length
    with pytest.raises(UserError, match="--results_folder"):
        prepare(two)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_corpus_that_moved_goes_on(rate, corpus, prepare, reads, tmp_path):
    old = corpus("old", rate)
    before = prepare(old)
    new = old.rename(tmp_path / "new")
    reads.clear()
    after = prepare(new)
    assert [[*split] for split in after] == [[*split] for split in before]
    for entry in after[0].values():
        assert Path(entry["noisy_wav"]).exists()
    if rate == 48000:
        assert after == before and not reads, "the copies are used again"
    assert prepare(new) == after


def test_own_manifests_are_not_written_over(
    corpus, voicebank_prepare, tmp_path
):
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    paths = [mine, tmp_path / "out/valid.json", tmp_path / "out/test.json"]
    with pytest.raises(UserError, match=r"mine\.json must be free.*skip_prep"):
        voicebank_prepare.prepare_voicebank(
            str(corpus()), tmp_path / "out", *paths, n_jobs=1
        )
    assert mine.read_text() == "{}"


@pytest.mark.parametrize("missing", FOLDERS)
def test_missing_and_empty_folders_are_named(missing, corpus, prepare):
    folder = corpus() / missing
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=rf"audio files in\n  {missing}\nDown"):
        prepare(folder.parent)
    folder.rmdir()
    with pytest.raises(UserError, match=rf"audio files in\n  {missing}\nDown"):
        prepare(folder.parent)


def test_a_bad_file_stops_before_any_manifest(corpus, prepare, tmp_path):
    data_folder = corpus()
    for split in ("trainset_28spk_wav/p228_001", "testset_wav/p257_001"):
        path = data_folder / f"noisy_{split}.wav"
        soundfile.write(path, [0.0] * 4800, 48000)
    with pytest.raises(UserError, match="got 2 others") as error:
        prepare(data_folder)
    assert "p228_001.wav" in str(error.value)
    assert "p257_001.wav" in str(error.value)
    assert not list((tmp_path / "out").glob("*.json"))


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (["p226", "p999"], "must name speakers of .*p226, p227.*p999"),
        ([], "must name speakers"),
        (["p226", "p227", "p228", "p287"], "must leave a speaker"),
        ([123], "must name speakers .*in quotes where a name is a number"),
    ],
)
def test_impossible_valid_speakers(speakers, message, corpus, prepare):
    with pytest.raises(UserError, match=message):
        prepare(corpus(), valid_speakers=speakers)


def test_speakers_may_be_numbers(corpus, prepare):
    data_folder = corpus(rate=16000)
    for path in data_folder.rglob("p*.wav"):
        path.rename(path.with_name(path.name[1:]))
    _, valid, _ = prepare(data_folder, valid_speakers=[226, "287"])
    assert list(valid) == ["226_001", "287_001"]
    assert prepare(data_folder, valid_speakers=226)[1].keys() == {"226_001"}
