"""YAML with tags, without the objects that they describe."""

import pytest

from speechbrain_dfkd.settings.tree import (
    merged,
    one_line,
    parse_tree,
    plain_settings,
)


def node(text):
    return parse_tree(f"a: {text}", "a test")["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!new:B {y: 2}", "!new:B {y: 2}"),
        ("!include:b.yaml {y: 2}", "!include:b.yaml {y: 2}"),
        ("3", "3"),
        ("{y: 2}", "!new:A {x: 1, y: 2}"),
        ("!new:A {y: 2}", "!new:A {x: 1, y: 2}"),
    ],
)
def test_another_object_takes_the_whole_place(value, expected):
    got = merged({"a": node("!new:A {x: 1}")}, {"a": node(value)})["a"]
    assert one_line(got) == expected


def test_an_object_without_arguments_gets_some():
    old = node("!name:torch.optim.AdamW")
    got = merged({"a": old}, {"a": node("{lr: 1}")})["a"]
    assert one_line(got) == "!name:torch.optim.AdamW {lr: 1}"


def test_a_mapping_is_changed_key_by_key():
    values, changes = node("{a: {b: 1}}"), node("{a: {c: 2}}")
    assert one_line(merged(values, changes)) == "{a: {b: 1, c: 2}}"
    assert one_line(values) == "{a: {b: 1}}"


def test_a_node_fits_a_word():
    tree = parse_tree("kd: !include:kd/a.yaml\nb:\n  c: [1]", "a test")
    assert one_line(tree) == "{kd: !include:kd/a.yaml '', b: {c: [1]}}"
    assert one_line(tree["kd"]) == "!include:kd/a.yaml"


def test_tags_become_text():
    text = "a: 1\nloss: !name:torch.nn.functional.l1_loss"
    expected = {"a": 1, "loss": "!name:torch.nn.functional.l1_loss"}
    assert plain_settings(text) == expected
