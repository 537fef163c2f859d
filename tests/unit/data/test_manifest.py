"""Manifests are complete, or the error says how to get one."""

import json
import os

import pytest

from speechbrain_dfkd.data.manifest import (
    check_manifest,
    read_manifest,
    write_json,
)
from speechbrain_dfkd.errors import UserError

ENTRY = {"noisy_wav": "n.wav", "clean_wav": "c.wav", "length": 1.0}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("{", "no JSON"),
        ("{}", "no utterances"),
        ("[]", "no utterances"),
        (
            json.dumps({"good": ENTRY, "bad": {"length": 1.0}}),
            "\n  bad lacks noisy_wav, clean_wav",
        ),
        ('{"a": 3}', "a is 3"),
        (json.dumps({"a": ENTRY | {"length": "1"}}), "a has length '1'"),
        (json.dumps({"a": ENTRY | {"length": 0}}), "a has length 0"),
        (json.dumps({"a": ENTRY | {"noisy_wav": None}}), "noisy_wav None"),
        (json.dumps({"a": ENTRY | {"test_set": 1}}), "test_set 1"),
        (
            json.dumps({"a": ENTRY | {"clean_wav": "{data_root}/c.wav"}}),
            "{data_root} in clean_wav",
        ),
    ],
)
def test_a_bad_manifest_is_refused(content, found, tmp_path):
    path = tmp_path / "train.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as error:
        read_manifest(path)
    assert found in str(error.value) and str(path) in str(error.value)


def test_an_interrupted_write_leaves_the_old_manifest(tmp_path, monkeypatch):
    path = tmp_path / "train.json"
    write_json(path, {"old": ENTRY})

    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"new": ENTRY})
    assert list(read_manifest(path)) == ["old"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def own(write_noise, tmp_path):
    """Return a function that writes an own manifest of one pair, 1 s long."""

    def make(**changes):
        for seed, side in enumerate("nc"):
            write_noise(tmp_path / f"data/{side}.wav", 16000, 16000, seed)
        path = tmp_path / "data/train.json"
        path.write_text(json.dumps({"0123": ENTRY | changes}))
        return path

    return make


def test_paths_are_relative_to_the_manifest(own, tmp_path, monkeypatch):
    path = own()
    monkeypatch.chdir(tmp_path)
    entry = read_manifest("data/train.json")["0123"]
    assert entry["noisy_wav"] == str(tmp_path / "data/n.wav")
    check_manifest(path, 16000)
    check_manifest(own(clean_wav=str(tmp_path / "data/c.wav")), 16000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"noisy_wav": "gone.wav"}, "gone.wav (No such file or directory)"),
        ({"length": 16000}, "length 16000 s, but its files have 1 s"),
        ({"length": 0.5}, "length 0.5 s, but its files have 1 s"),
        ({"noisy_wav": "slow.wav"}, "slow.wav has 48000 Hz in place of 16000"),
        ({"noisy_wav": "long.wav"}, "0123: noisy 16001, clean 16000 samples"),
        ({"noisy_wav": "train.json"}, "is text"),
    ],
)
def test_recordings_that_do_not_fit_are_named(
    changes, said, own, write_noise, tmp_path
):
    write_noise(tmp_path / "data/slow.wav", 48000, 48000)
    write_noise(tmp_path / "data/long.wav", 16000, 16001)
    with pytest.raises(UserError) as error:
        check_manifest(own(**changes), 16000)
    assert said in str(error.value)
    assert "recipes/VoiceBank/README.md" in str(error.value)
