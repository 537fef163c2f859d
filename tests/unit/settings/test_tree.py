"""YAML with tags, without the objects that they describe."""

import pytest

from speechbrain_dfkd.settings.tree import (
    merged,
    one_line,
    parse_tree,
    plain_settings,
    replaces,
    with_tag_of,
)


def node(text):
    return parse_tree(f"a: {text}", "a test")["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!new:B {x: 1}", True),
        ("!include:b.yaml {x: 1}", True),
        ("3", True),
        ("{x: 2}", False),
        ("!new:A {x: 2}", False),
    ],
)
def test_another_object_takes_the_whole_place(value, expected):
    assert replaces(node(value), node("!new:A {x: 1}")) is expected


def test_an_object_without_arguments_gets_some():
    old = node("!name:torch.optim.AdamW")
    got = with_tag_of(old, node("{lr: 1}"))
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
