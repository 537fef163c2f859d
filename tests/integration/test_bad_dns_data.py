"""DNS recordings that cannot be used are named, before training and in it."""

import shutil

import numpy as np
import pytest
import soundfile
from recipe_runs import MIXTURES, assert_refused, dfkd_options

TEST = "test_set/synthetic/no_reverb"


@pytest.fixture
def data(dns_corpus, tmp_path):
    """Return a copy of the corpus to be spoilt."""
    return shutil.copytree(dns_corpus, tmp_path / "data")


@pytest.fixture
def train(call, tmp_path):
    """Return a function that trains a student alone on a folder."""

    def train(folder, *flags, dataset=None, **options):
        dataset = MIXTURES | (dataset or {})
        options = {"kd_weight": 0, **options, "dataset": dataset}
        arguments = dfkd_options(folder, tmp_path / "results", **options)
        return call([*arguments, *flags], recipe="DNS")

    return train


def first(folder):
    return min(folder.glob("*.wav"))


def is_missing(data):
    shutil.rmtree(data)


def lacks_noise(data):
    shutil.rmtree(data / "noise")


def lacks_test_sets(data):
    shutil.rmtree(data / "test_set")


def has_test_set_that_does_not_join(data):
    first(data / TEST / "noisy").rename(data / TEST / "noisy/x_fileid_99.wav")


def has_names_without_fileid(data):
    first(data / TEST / "noisy").rename(data / TEST / "noisy/x.wav")


def has_low_rate(data):
    soundfile.write(first(data / "noise"), np.random.rand(4000) - 0.5, 8000)


def has_silent_noise(data):
    soundfile.write(first(data / "noise"), np.zeros(16000), 16000)


def is_no_audio(data):
    first(data / "clean").write_text("404: not found")


def has_pairs_without_noise(data):
    shutil.rmtree(data / "test_set/synthetic/no_reverb/noisy")
    shutil.copytree(data / TEST / "clean", data / TEST / "noisy")


@pytest.mark.parametrize(
    ("spoil", "fragments"),
    [
        (is_missing, ["clean", "noise", "README", "pass --data_folder"]),
        (lacks_noise, ["noise", "recipes/DNS/README.md"]),
        (lacks_test_sets, ["no_reverb", "with_reverb", "README"]),
        (has_test_set_that_does_not_join, ["fileid_99.wav has no clean twin"]),
        (has_names_without_fileid, ["x.wav has no fileid", "rename"]),
        (has_low_rate, ["8000 Hz", "get them at that rate"]),
        (has_silent_noise, ["are silent", "noise/", "remove them"]),
        (is_no_audio, ["clean/", "cannot be read as audio"]),
        (has_pairs_without_noise, ["equal to their clean twins", "noisy"]),
    ],
)
def test_bad_data_are_named(train, data, tmp_path, spoil, fragments):
    spoil(data)
    results = tmp_path / "results"
    assert_refused(*train(data), fragments, results)
    assert not list(results.rglob("*.json")), "no manifest, no settings"


def test_short_noises_of_equal_names_are_used(train, data, tmp_path):
    for path in (data / "noise").glob("*.wav"):
        samples, rate = soundfile.read(path)
        for part in ("a", "b"):
            target = data / f"noise/{part}/{path.name}"
            target.parent.mkdir(exist_ok=True)
            # A tenth of the segment; 48 kHz, so that copies are made.
            soundfile.write(target, samples[:2400], 3 * rate)
        path.unlink()
    code, stdout, stderr = train(data, number_of_epochs=1)
    assert code == 0, stderr
    copies = {p.parts[-2:] for p in (tmp_path / "results").rglob("noise/?/*")}
    assert len(copies) == 36
    assert "student" in stdout


def prepare(train, data):
    """Prepare, and no more: there is nothing to test yet."""
    code, _, stderr = train(data, "--test_only")
    assert code == 2 and "there must be a checkpoint to test" in stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_file_ends_a_run_that_goes_on_when_it_is_back(
    train, data, dns_corpus, tmp_path, workers
):
    options = {"skip_prep": True, "num_workers": workers}
    options["number_of_epochs"] = 1
    prepare(train, data)
    for path in (data / "clean").glob("*.wav"):
        path.write_text("404: not found")
    code, stdout, stderr = train(data, **options)
    assert code == 2
    error = stderr[stderr.rindex("error: ") :]
    assert f"{data}/clean/" in error and "must be readable" in error
    assert "restore the file that was there" in error
    assert "Traceback" not in stdout + stderr
    shutil.copytree(dns_corpus, data, dirs_exist_ok=True)
    code, _, stderr = train(data, **options)
    assert code == 0, stderr


def test_files_that_are_gone_are_named_before_a_training(train, data, tmp_path):
    prepare(train, data)
    shutil.rmtree(data / "noise")
    outcome = train(data, skip_prep=True)
    fragments = ["train.json must lead to recordings", "/noise/", "put them"]
    assert_refused(*outcome, fragments, tmp_path / "results")


def test_a_folder_that_changed_is_prepared_anew(train, data, tmp_path):
    prepare(train, data)
    manifest = tmp_path / "results/data/train.json"
    before = manifest.stat().st_mtime_ns
    prepare(train, data)
    assert manifest.stat().st_mtime_ns == before
    first(data / "noise").unlink()
    prepare(train, data)
    assert manifest.stat().st_mtime_ns > before


def make_pairs(data):
    """Turn speech into pairs as the challenge's synthesizer names them."""
    shutil.rmtree(data / "noise")
    (data / "noisy").mkdir()
    draw = np.random.default_rng(0)
    for i, path in enumerate(sorted((data / "clean").glob("*.wav"))):
        clean, rate = soundfile.read(path)
        noisy = clean + 0.01 * draw.standard_normal(len(clean))
        path.rename(path.with_name(f"clean_fileid_{i}.wav"))
        name = f"noisy/book_{i}_snr9_fileid_{i}.wav"
        soundfile.write(data / name, noisy, rate)


@pytest.mark.slow
def test_synthesised_pairs_train(train, data, tmp_path):
    make_pairs(data)
    prepare(train, data)
    manifest = (tmp_path / "results/data/train.json").read_text()
    name = next(i for i in range(28) if f'"fileid_{i}"' in manifest)
    clean = data / f"clean/clean_fileid_{name}.wav"
    aside = clean.rename(tmp_path / clean.name)
    options = {"skip_prep": True, "num_workers": 1, "number_of_epochs": 1}
    outcome = train(data, **options)
    assert_refused(*outcome, [f"{clean} (No such file"], tmp_path / "results")
    aside.rename(clean)
    code, _, stderr = train(data, **options)
    assert code == 0, stderr
