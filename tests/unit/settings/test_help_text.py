"""--help explains the keys of the leaf."""

from pathlib import Path

import pytest

from speechbrain_dfkd.settings.command_line import exit_code, read_command
from speechbrain_dfkd.settings.keys import DFKD_KEYS, TEACHER_KEYS
from speechbrain_dfkd.settings.words import _entries, asks_for_help

ROOT = Path(__file__).parents[3]
LEAVES = sorted((ROOT / "hparams").glob("*.yaml"))


@pytest.mark.parametrize(
    ("recipe", "keys", "argv", "fragments"),
    [
        (
            "VoiceBank",
            DFKD_KEYS,
            ["--help"],
            [
                "usage: train_dfkd.py LEAF",
                "--kd_weight 1.0\n        lambda in L = L_SE + lambda * L_KD",
                "--data_folder null\n        null: the demo corpus",
                "--teacher_ckpt null\n        a trained teacher: a folder",
                "--dataset.valid_speakers [p226, p287]\n        Held out",
                "--precision {fp32,fp16,bf16}",
            ],
        ),
        (
            "DNS",
            TEACHER_KEYS,
            ["hparams/dptnet_teacher.yaml", "-h"],
            [
                "usage: train_teacher.py LEAF",
                "The keys of dptnet_teacher.yaml",
                "--lr 0.0004\n",
                "--dataset.mixer.gap_seconds 0.2\n        between recordings",
            ],
        ),
    ],
)
def test_keys_have_meaning_and_default(
    recipe, keys, argv, fragments, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        exit_code(
            lambda argv, folder: read_command(argv, folder, keys),
            argv,
            ROOT / "recipes" / recipe,
        )
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for fragment in fragments:
        assert fragment in shown
    assert not any(tmp_path.iterdir())


def test_only_whole_words_ask_for_help():
    assert asks_for_help(["a.yaml", "-h"])
    assert not asks_for_help(["a.yaml", "--helper", "--x=--help"])


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_every_key_of_a_leaf_is_explained(leaf):
    # One comment may be for a key and what follows it without a blank line.
    silent = [
        key
        for key, _, comment in _entries(leaf.read_text())
        if key and "." not in key and not comment.strip(" ][PAours")
    ]
    assert silent == []
