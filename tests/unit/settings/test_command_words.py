"""Each word of a command line counts, whole and once."""

from pathlib import Path

import pytest
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.tree import parse_tree
from speechbrain_dfkd.settings.words import (
    find_settings_file,
    split_command_line,
)


def settings(*words):
    text = split_command_line(["a.yaml", *words])[2]
    return dict(parse_tree(text, "a test"))


def options(*words):
    return split_command_line(["a.yaml", *words])[1]


@pytest.mark.parametrize("name", ["prec", "debu", "noprog", "ckpt_interval"])
def test_an_abbreviation_is_no_option(name):
    assert any(key.startswith(name) for key in RunOptions().as_dict())
    assert settings(f"--{name}", "3") == {name: 3}
    assert options(f"--{name}", "3").overridden_args == set()


def test_options_of_speechbrain_are_taken_out_wherever_they_stand():
    words = ["--precision=bf16", "--debug", "--lr", "-1", "a.yaml"]
    words += ["--jit_module_keys", "b", "c", "--seed", "3", "--device", "cpu"]
    leaf, run_opts, text = split_command_line(words)
    assert leaf == "a.yaml"
    assert text == "lr: -1\nseed: 3"
    assert (run_opts.precision, run_opts.debug) == ("bf16", True)
    assert run_opts.jit_module_keys == ["b", "c"]
    expected = {"precision", "debug", "jit_module_keys", "device"}
    assert run_opts.overridden_args == expected


def test_minutes_are_a_number():
    assert (
        options("--ckpt_interval_minutes", "0.5").ckpt_interval_minutes == 0.5
    )
    assert options("--optimizer_step_limit", "7").optimizer_step_limit == 7


@pytest.mark.parametrize(
    "value", ["/my data", "/a=b", "/a #1", "007", "1e3", "2024-05-01", "a: b"]
)
def test_a_folder_is_what_was_written(value):
    assert settings("--results_folder", value) == {"results_folder": value}
    assert settings(f"--results_folder={value}") == {"results_folder": value}


def test_a_value_that_is_no_folder_is_yaml():
    words = ["--kd", "!include:kd/a.yaml {a: '='}", "--data_folder", "null"]
    got = settings(*words, "--lr", "1e-3")
    assert got["kd"]["a"] == "="
    assert got["data_folder"] is None
    assert got["lr"] == 0.001


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "must name a settings file, got none; for example hparams"),
        (["a.yaml", "--debug", "True"], "got the word 'True' besides 'a.yaml'"),
        (["a.yaml", "--x", "1", "2"], "got the word '2'"),
        (["a.yaml", "--data_folder"], "--data_folder must have a value"),
        (["a.yaml", "--data_folder", ""], "--data_folder must have a value"),
        (["a.yaml", "--lr=", "--seed", "1"], "--lr must have a value"),
        (["a.yaml", "--precision", "fp17"], "invalid choice: 'fp17'"),
        (["a.yaml", "--device"], "--device: expected one argument"),
        (["a.yaml", "--ckpt_interval_steps", "x"], "invalid int value: 'x'"),
    ],
)
def test_a_word_too_many_or_too_few_is_named(words, message):
    with pytest.raises(UserError, match=message):
        split_command_line(words)


def test_a_leaf_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    root = Path(__file__).parents[3]
    recipe, leaf = root / "recipes/VoiceBank", "hparams/dccrn_dfkd.yaml"
    monkeypatch.chdir(tmp_path)
    assert find_settings_file(leaf, recipe) == root / leaf
    assert f"using {root / leaf}" in capsys.readouterr().out
    assert find_settings_file("no.yaml", recipe) == Path("no.yaml")
    own = tmp_path / leaf
    own.parent.mkdir()
    own.touch()
    assert find_settings_file(leaf, recipe) == Path(leaf), "its own comes first"
    assert capsys.readouterr().out == ""
