"""A folder holds one experiment; its data may move, but not become others."""

from pathlib import Path

import pytest

from speechbrain_dfkd.data.audio import WavFile
from speechbrain_dfkd.data.manifest import write_json
from speechbrain_dfkd.data.recordings import write_recordings
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_folder import keep_data, refuse_other_data


def pairs(folder, lengths, root="/here"):
    """Write a manifest and return its path."""
    entries = {
        name: {
            "noisy_wav": f"{root}/noisy/{name}.wav",
            "clean_wav": f"{root}/clean/{name}.wav",
            "length": length,
        }
        for name, length in lengths.items()
    }
    path = folder / f"{abs(hash((root, *lengths.items())))}.json"
    write_json(path, entries)
    return path


def mixtures(folder, frames, root="/here"):
    """Write the tables of recordings to mix, and return their manifest."""
    folder = folder / f"{root[1:]}{sum(frames)}"
    wavs = [
        WavFile(Path(root, f"{i}.wav"), 16000, n) for i, n in enumerate(frames)
    ]
    write_recordings(folder / "speech.npy", wavs)
    tables = {"speech": "speech.npy", "noise": "speech.npy"}
    write_json(folder / "train.json", {**tables, "impulse_responses": None})
    return folder / "train.json"


def settings(train, valid):
    return {"train_annotation": train, "valid_annotation": valid}


@pytest.mark.parametrize(
    ("make", "data", "other"),
    [
        (pairs, {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.5}),
        (pairs, {"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}),
        (pairs, {"a": 1.0, "b": 2.0}, {"a": 1.0}),
        (mixtures, [800, 900], [800, 901]),
    ],
)
def test_other_recordings_are_refused(tmp_path, make, data, other):
    valid = pairs(tmp_path, {"v": 1.0})
    run = tmp_path / "run"
    refuse_other_data(run, settings(make(tmp_path, data), valid))  # new
    keep_data(run, settings(make(tmp_path, data), valid))
    moved = make(tmp_path, data, root="/there")
    refuse_other_data(run, settings(moved, valid))
    with pytest.raises(UserError, match="other recordings in train; "):
        refuse_other_data(run, settings(make(tmp_path, other), valid))
    longer = pairs(tmp_path, {"v": 1.5})
    with pytest.raises(UserError, match="other recordings in valid; "):
        refuse_other_data(run, settings(moved, longer))
