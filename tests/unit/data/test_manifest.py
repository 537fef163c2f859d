"""Manifests are complete, or the error says how to get one."""

import json
import os

import pytest

from speechbrain_dfkd.data.manifest import read_manifest, write_json
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
