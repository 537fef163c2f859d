"""Where values come from, and that no misspelt key is lost."""

import collections

import pytest

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings import configuration
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.tree import plain_settings

LEAF = """
dataset: !PLACEHOLDER
lr: 0.1
network: !include:models/small.yaml
modules:
    model: !ref <network[model]>
opt_class: !name:collections.OrderedDict
    lr: !ref <lr>
"""
NETWORK = """
name: small
width: 2
model: !new:collections.Counter
    width: !ref <width>
"""
LAYER = """
"*":
    dataset: {name: Speech, valid: [a]}
    lr: 0.2
"*_teacher":
    lr: 0.3
"""
READ = {"dataset", "modules", "opt_class"}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/small.yaml").write_text(NETWORK)
    (tmp_path / "models/large.yaml").write_text(NETWORK.replace("2", "8"))
    (tmp_path / "my_dfkd.yaml").write_text(LEAF)
    (tmp_path / "my_teacher.yaml").write_text(LEAF)
    (tmp_path / "speech.yaml").write_text(LAYER)
    return tmp_path


def settings(files, overrides="", leaf="my_dfkd.yaml", layer="speech.yaml"):
    return compose(files / leaf, [files / layer], overrides, READ).settings()


def test_later_values_win(files):
    assert settings(files)["lr"] == 0.2
    assert settings(files, leaf="my_teacher.yaml")["lr"] == 0.3
    assert settings(files, "lr: 0.4", leaf="my_teacher.yaml")["lr"] == 0.4


def test_sources_are_listed_in_order(files):
    leaf, layer = files / "my_dfkd.yaml", files / "speech.yaml"
    sources = compose(leaf, [layer], "lr: 1", READ).sources
    assert sources == [str(leaf), str(layer), "the command line"]


def test_nested_override_keeps_its_neighbours(files):
    dataset = settings(files, "dataset: {valid: [b]}")["dataset"]
    assert dataset == {"name": "Speech", "valid": ["b"]}


def test_include_is_swapped(files):
    hparams = compose(
        files / "my_dfkd.yaml",
        [files / "speech.yaml"],
        "network: !include:models/large.yaml",
        READ,
    ).build()
    assert hparams["modules"]["model"]["width"] == 8


def test_value_inside_an_include_is_overridden(files):
    network = settings(files, "network: {width: 5}")["network"]
    assert network["width"] == 5
    assert network["model"]["width"] == 5, "references inside follow"


@pytest.mark.parametrize(
    ("overrides", "key", "hint"),
    [
        ("lrr: 1", "lrr", "'lr'"),
        ("network: {widthh: 1}", "network.widthh", "'network.width'"),
        ("dataset: {valids: [b]}", "dataset.valids", "'dataset.valid'"),
    ],
)
def test_misspelt_override_is_named(files, overrides, key, hint):
    with pytest.raises(UserError, match=f"unknown key '{key}'.*{hint}"):
        settings(files, overrides)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        # Another class has its own arguments, and none of the old one's.
        (
            "opt_class: !name:collections.Counter {a: 7}",
            {"tag": "!name:collections.Counter", "a": 7},
        ),
        (
            "opt_class: !new:collections.OrderedDict {lr: 7, b: 2}",
            {"tag": "!new:collections.OrderedDict", "lr": 7, "b": 2},
        ),
        ("opt_class: !name:collections.Counter", "!name:collections.Counter"),
        (
            "opt_class: !name:collections.Counter [3]",
            ["!name:collections.Counter", 3],
        ),
        # The same class, named or not, keeps the others.
        (
            "opt_class: {lr: 7}",
            {"tag": "!name:collections.OrderedDict", "lr": 7, "eps": 1},
        ),
        (
            "opt_class: !name:collections.OrderedDict {lr: 7}",
            {"tag": "!name:collections.OrderedDict", "lr": 7, "eps": 1},
        ),
    ],
)
def test_object_of_another_class_takes_the_whole_place(
    files, override, expected
):
    leaf = files / "my_dfkd.yaml"
    leaf.write_text(LEAF.replace("lr: !ref <lr>", "lr: !ref <lr>\n    eps: 1"))
    assert settings(files, override)["opt_class"] == expected
    layer = files / "speech.yaml"
    layer.write_text(f"{LAYER}\n'my_*': {{{override} }}")
    assert settings(files)["opt_class"] == expected, "of a data set's layer"


def test_object_gets_an_argument_that_it_takes(files):
    leaf = files / "my_dfkd.yaml"
    leaf.write_text(LEAF.replace("collections.OrderedDict", "torch.optim.Adam"))
    tag = "!name:torch.optim.Adam"
    for override in ("{eps: 1}", f"{tag} {{eps: 1}}"):
        got = settings(files, f"opt_class: {override}")["opt_class"]
        assert got == {"tag": tag, "lr": 0.2, "eps": 1}
    with pytest.raises(UserError, match="unknown key 'opt_class.epz'"):
        settings(files, "opt_class: {epz: 1}")


def test_object_without_arguments_keeps_its_class_when_it_gets_some(files):
    leaf = files / "my_dfkd.yaml"
    head = LEAF.partition("opt_class")[0]
    leaf.write_text(f"{head}opt_class: !name:collections.Counter")
    layer = files / "speech.yaml"
    built = compose(leaf, [layer], "opt_class: {a: 7}", {*READ, "lr"})
    assert built.settings()["opt_class"] == {
        "tag": "!name:collections.Counter",
        "a": 7,
    }


@pytest.mark.parametrize(
    "override",
    [
        "network: {model: !new:collections.OrderedDict {depth: 5}}",
        "network: !include:models/small.yaml"
        " {model: !new:collections.OrderedDict {depth: 5}}",
        "network: {width: 9, model: !new:collections.OrderedDict {depth: 5}}",
    ],
)
def test_object_of_another_class_within_an_include(files, override):
    leaf, layer = files / "my_dfkd.yaml", files / "speech.yaml"
    built = compose(leaf, [layer], override, READ).build()
    model = built["modules"]["model"]
    assert type(model) is collections.OrderedDict
    assert model == {"depth": 5}


def test_object_beside_an_include_of_an_included_file(nested):
    text = (nested / "models/nested.yaml").read_text()
    (nested / "models/nested.yaml").write_text(
        text.replace(
            "!include:small.yaml",
            "!include:small.yaml\n"
            "    model: !new:collections.OrderedDict\n        depth: 5",
        )
    )
    part = settings(nested, "network: !include:models/nested.yaml")["network"]
    assert part["part"]["model"] == {
        "tag": "!new:collections.OrderedDict",
        "depth": 5,
    }


def test_misspelt_class_is_named(files):
    leaf, layer = files / "my_dfkd.yaml", files / "speech.yaml"
    override = "opt_class: !name:collections.Ordered {lr: 1}"
    with pytest.raises(UserError, match="no such .* collections.Ordered"):
        compose(leaf, [layer], override, READ).build()


def test_replaced_value_leaves_its_references_idle(files):
    fixed = "opt_class: !name:collections.OrderedDict {lr: 7}"
    assert settings(files, fixed)["opt_class"]["lr"] == 7


def test_misspelt_key_in_leaf_is_named(files):
    text = LEAF.replace("opt_class", "opt_clas")
    (files / "my_dfkd.yaml").write_text(text)
    with pytest.raises(UserError, match="'opt_clas'.*my_dfkd.*'opt_class'"):
        settings(files)


def test_misspelt_key_in_included_file_is_named(files):
    text = NETWORK.replace("width: 2", "width: 2\nwidthh: 3")
    (files / "models/small.yaml").write_text(text)
    with pytest.raises(UserError, match="'widthh'.*small.yaml.*'width'"):
        settings(files)


@pytest.fixture
def nested(files):
    """A network of which a part is an include of its own folder."""
    text = "name: nested\npart: !include:small.yaml\ndepth: 3\n"
    text += "model: !new:collections.Counter\n    parts: !ref <part[width]>\n"
    text += "    depth: !ref <depth>\n"
    (files / "models/nested.yaml").write_text(text)
    return files


def test_an_include_within_an_include_is_found_from_its_own_folder(nested):
    swap = "network: !include:models/nested.yaml"
    assert settings(nested, swap)["network"]["model"]["parts"] == 2
    deeper = settings(nested, f"{swap} {{depth: 4}}")
    assert deeper["network"]["model"]["depth"] == 4
    (nested / "my_dfkd.yaml").write_text(LEAF.replace("small", "nested"))
    wider = settings(nested, "network: {part: {width: 5}}")
    assert wider["network"]["model"]["parts"] == 5


def test_misspelt_key_in_an_include_within_an_include_is_named(nested):
    text = NETWORK.replace("width: 2", "width: 2\nwidthh: 3")
    (nested / "models/small.yaml").write_text(text)
    with pytest.raises(UserError, match="'widthh'.*small.yaml.*'width'"):
        settings(nested, "network: !include:models/nested.yaml")


def test_misspelt_key_in_layer_is_named(files):
    (files / "speech.yaml").write_text(LAYER.replace("lr: 0.2", "rl: 0.2"))
    with pytest.raises(UserError, match="'rl'.*speech.yaml"):
        settings(files)


def test_missing_include_names_the_file(files):
    with pytest.raises(UserError, match="models/none.yaml"):
        settings(files, "network: !include:models/none.yaml")


def test_placeholder_left_over_is_named(files):
    (files / "speech.yaml").write_text('"*": {lr: 1.0}')
    with pytest.raises(UserError, match="dataset"):
        settings(files)


def test_broken_yaml_names_the_file(files):
    (files / "my_dfkd.yaml").write_text("a: [1")
    with pytest.raises(UserError, match="my_dfkd.yaml must be valid YAML"):
        settings(files)


def test_wrong_constructor_argument_is_a_user_error(files):
    text = "name: small\nmodel: !new:fractions.Fraction\n    width: 2\n"
    (files / "models/small.yaml").write_text(text)
    composed = compose(
        files / "my_dfkd.yaml", [files / "speech.yaml"], "", READ
    )
    with pytest.raises(UserError, match="fractions.Fraction.*width"):
        composed.build()


def test_compose_does_not_change_the_layers_between_runs(files):
    first = settings(files, "dataset: {valid: [b]}")
    assert settings(files) != first
    assert settings(files, "dataset: {valid: [b]}") == first


def test_settings_are_resolved_once_and_stay(files, monkeypatch):
    asked = []
    resolve = configuration.resolve_references

    def counted(text):
        asked.append(text.partition(":")[0])
        return resolve(text)

    monkeypatch.setattr(configuration, "resolve_references", counted)
    leaf, layer = files / "my_dfkd.yaml", files / "speech.yaml"
    first = compose(leaf, [layer], "", READ)
    first.settings()["dataset"]["valid"].append("b")
    assert first.settings()["dataset"]["valid"] == ["a"]
    assert first.text
    first.build()
    assert asked == ["name", "dataset"], "each file, once"
    other = first.replace(lr=7)
    assert other.settings()["opt_class"]["lr"] == 7
    assert first.settings()["lr"] == first.tree["lr"] == 0.2
    with pytest.raises(AttributeError):
        first.tree = other.tree
    with pytest.raises(TypeError):
        first.tree["lr"] = 7


def test_plain_settings_tell_tagged_nodes_apart():
    one = plain_settings("a: !name:torch.optim.Adam {lr: 1}")
    other = plain_settings("a: !name:torch.optim.SGD {lr: 1}")
    assert one != other


NETWORKS = """
class Fault:
    def __init__(self):
        self.missing


class Slip:
    def __init__(self):
        len(3)


class Refusal:
    def __init__(self):
        raise ValueError("width must be even")
"""


def test_a_fault_in_a_network_of_ones_own_keeps_its_traceback(
    files, monkeypatch
):
    (files / "own_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(files))
    leaf, layers = files / "my_dfkd.yaml", [files / "speech.yaml"]

    def build(name):
        override = f"network: {{model: !new:own_networks.{name} {{}}}}"
        compose(leaf, layers, override, READ).build()

    with pytest.raises(AttributeError, match="missing"):
        build("Fault")
    with pytest.raises(TypeError, match="'int' has no len"):
        build("Slip")
    with pytest.raises(UserError, match="width must be even"):
        build("Refusal")
    with pytest.raises(UserError, match="no such class.*own_networks.Misspelt"):
        build("Misspelt")
