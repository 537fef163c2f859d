"""A teacher gives targets and nothing else, and only the right one loads."""

import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch
from torch import nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.settings.tree import plain_settings, tag_of
from speechbrain_dfkd.teacher.frozen import (
    CachedTeacher,
    FrozenTeacher,
    fingerprint,
)
from speechbrain_dfkd.teacher.loading import (
    described_teacher,
    find_teacher_checkpoint,
    load_strictly,
    load_teacher,
    read_network,
)
from speechbrain_dfkd.teacher.trained_network import export_enhancer


class Network(nn.Module):
    """Has weights, batch norm and a mode, as real ones have."""

    def __init__(self, width=2):
        super().__init__()
        self.conv = nn.Conv1d(1, width, 1)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, noisy, features=()):
        wav = self.norm(self.conv(noisy[:, None])).sum(1)
        return Enhanced(wav, {"conv": wav} if "conv" in features else {})


def test_stays_in_evaluation_mode_within_a_training_model():
    model = nn.ModuleDict({"teacher": FrozenTeacher(Network())}).train()
    assert not any(module.training for module in model["teacher"].modules())


def test_no_gradient_and_no_change_of_statistics():
    teacher = FrozenTeacher(Network())
    before = fingerprint(teacher.model)
    noisy = torch.randn(2, 50, requires_grad=True)
    enhanced = teacher(noisy, ("conv",))
    assert not enhanced.wav.requires_grad
    assert not enhanced.features["conv"].requires_grad
    assert not any(p.requires_grad for p in teacher.parameters())
    assert fingerprint(teacher.model) == before


def test_fingerprint_sees_every_weight_and_buffer():
    network = Network()
    prints = {fingerprint(network)}
    for value in network.state_dict().values():
        value.add_(1)
        prints.add(fingerprint(network))
    assert len(prints) == 1 + len(network.state_dict())


def test_weights_load_exactly(tmp_path):
    source, target = Network(), Network()
    torch.save(source.state_dict(), tmp_path / "t.ckpt")
    load_strictly(target, read_network(tmp_path / "t.ckpt"))
    assert fingerprint(target) == fingerprint(source)


def other_names(state):
    return {f"{key}_x": value for key, value in state.items()}


def fewer(state):
    return {key: state[key] for key in list(state)[1:]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_names, "missing: conv.weight\n  unexpected: conv.weight_x"),
        (fewer, "missing: conv.weight"),
    ],
)
def test_other_network_is_refused(tmp_path, change, message):
    torch.save(change(Network().state_dict()), tmp_path / "t.ckpt")
    with pytest.raises(UserError, match=message):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


def test_other_size_names_both_shapes(tmp_path):
    torch.save(Network(4).state_dict(), tmp_path / "t.ckpt")
    with pytest.raises(UserError, match=r"conv.weight: \(4, 1, 1\).*\(2, 1, 1"):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


def prefixed(prefix):
    return lambda state: {prefix + key: v for key, v in state.items()}


def training(state):
    moments = {"step": torch.ones(()), "exp_avg": torch.ones(2)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 7, "model_state_dict": state, "optimizer": optimizer}


def lightning(state):
    state = prefixed("model.")(state)
    others = {"loss.window": torch.ones(4), "hyper": torch.ones(1)}
    return {"epoch": 7, "state_dict": {**state, **others}, "callbacks": {}}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (prefixed("module."), "names without 'module.'"),
        (prefixed("_orig_mod."), "names without '_orig_mod.'"),
        (prefixed("module._orig_mod."), "names without 'module._orig_mod.'"),
        (lambda state: {"model": state}, "its 'model'"),
        (training, "its 'model_state_dict'"),
        (lightning, "its 'state_dict' and names without 'model.'"),
        (lambda state: {"nets": {"student": state}}, "its 'nets.student'"),
        (lambda s: {k: v.half() for k, v in s.items()}, ""),
    ],
)
def test_wrapped_weights_are_found_and_it_is_said(tmp_path, capsys, wrap, said):
    source, target = Network(), Network()
    torch.save(wrap(source.state_dict()), tmp_path / "t.ckpt")
    for _ in range(2):  # a run reads it more than once
        load_strictly(target, read_network(tmp_path / "t.ckpt"))
    for name, value in source.state_dict().items():
        assert torch.allclose(target.state_dict()[name], value, rtol=1e-2)
    printed = capsys.readouterr().out
    assert printed.count("Teacher: the weights in") == bool(said)
    assert said in printed


def test_two_sets_of_weights_are_not_chosen_from(tmp_path):
    both = {"ema": Network().state_dict(), "model": Network().state_dict()}
    torch.save(both, tmp_path / "t.ckpt")
    with pytest.raises(UserError, match="with 2:\n  ema: \n  model: "):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


def test_wrapped_weights_of_another_size_name_the_shapes(tmp_path):
    state = prefixed("module.")(Network(4).state_dict())
    torch.save({"model": state}, tmp_path / "t.ckpt")
    with pytest.raises(UserError, match=r"conv.weight: \(4, 1, 1\)") as caught:
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 1, "state_dict": {}}])
def test_a_file_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "t.ckpt")
    with pytest.raises(UserError, match="must hold a network's weights, got"):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    source, target = Network(), Network()
    source.conv.weight.data[0] = value
    torch.save(source.state_dict(), tmp_path / "t.ckpt")
    before = fingerprint(target)
    with pytest.raises(UserError, match="finite weights.*\n  conv.weight\n"):
        load_strictly(target, read_network(tmp_path / "t.ckpt"))
    assert fingerprint(target) == before


def test_a_nan_statistic_is_refused_an_infinite_mask_is_not(tmp_path):
    source, target = Network(), Network()
    for network in (source, target):
        network.register_buffer("mask", torch.tensor(float("-inf")))
    torch.save(source.state_dict(), tmp_path / "t.ckpt")
    load_strictly(target, read_network(tmp_path / "t.ckpt"))
    source.norm.running_var[0] = float("nan")
    torch.save(source.state_dict(), tmp_path / "t.ckpt")
    with pytest.raises(UserError, match="norm.running_var"):
        load_strictly(target, read_network(tmp_path / "t.ckpt"))


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    model = nn.Linear(1, 1)
    model.bias.data[0] = float("nan")
    with pytest.raises(UserError, match="finite weights.*\n  bias\n"):
        export_enhancer(
            tmp_path / "enhancer", SETTINGS, "teacher", model, 16000
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [FrozenTeacher, CachedTeacher])
def test_the_target_is_scaled_the_network_is_not(kind):
    network = Network().eval()
    before, noisy = fingerprint(network), torch.randn(2, 50)
    with torch.no_grad():
        wav = network(noisy).wav
    batch = PaddedBatch(
        [
            {"id": str(i), "noisy_sig": noisy[i], "teacher_sig": wav[i]}
            for i in range(2)
        ]
    )
    teacher = kind(network)
    assert teacher.estimate(batch).wav.equal(wav)
    teacher.scale = -0.5
    assert teacher.estimate(batch).wav.equal(-0.5 * wav)
    assert fingerprint(network) == before
    if kind is FrozenTeacher:  # features have no level of the speech
        assert teacher.estimate(batch, ("conv",)).features["conv"].equal(wav)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_broken_file_is_refused(tmp_path, content):
    (tmp_path / "t.ckpt").write_bytes(content)
    with pytest.raises(UserError, match="teacher_ckpt must be a state_dict"):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


def test_file_that_runs_code_is_refused(tmp_path):
    torch.save(Network(), tmp_path / "t.ckpt")  # pickles the class itself
    with pytest.raises(UserError, match="torch.save"):
        load_strictly(Network(), read_network(tmp_path / "t.ckpt"))


SETTINGS = """
teacher:
  name: exported
  hop_length: 100
  model: !new:torch.nn.Linear [1, 1]
"""


@pytest.fixture
def exported(tmp_path):
    """A run's folder with its exported network."""
    model = nn.Linear(1, 1)
    export_enhancer(tmp_path / "enhancer", SETTINGS, "teacher", model, 16000)
    return tmp_path


def settings_of(path, text=SETTINGS, **changes):
    """Return a leaf's plain settings with a teacher and a checkpoint."""
    run = {"kd_weight": 1.0, "kd": {"loss": "!new:Mine"}, **changes}
    return {"teacher_ckpt": str(path), **plain_settings(text), **run}


def test_each_form_of_an_exported_folder_is_found(exported):
    path = find_teacher_checkpoint(exported)
    assert path == find_teacher_checkpoint(exported / "enhancer")
    assert path == find_teacher_checkpoint(path)


@pytest.mark.parametrize("form", [".", "enhancer", "enhancer/*.ckpt"])
def test_a_folder_says_which_network_it_is(exported, form, capsys):
    (path,) = exported.glob(form) if form != "." else [exported]
    other = SETTINGS.replace("hop_length: 100", "hop_length: 128")
    network = described_teacher(settings_of(path, other), is_chosen=False)
    assert (network["name"], network["hop_length"]) == ("exported", 100)
    assert network["teacher_leaf"] is None
    assert "Teacher: exported, as" in capsys.readouterr().out


def test_bare_weights_say_nothing(exported):
    path = find_teacher_checkpoint(exported).rename(exported / "bare.ckpt")
    assert read_network(path).network is None
    assert described_teacher(settings_of(path), is_chosen=False) is None
    # Nor does another program's file beside them.
    (exported / "hyperparams.yaml").write_text("network: 3")
    assert read_network(path).network is None


@pytest.mark.parametrize("name", ["exported", "mine"])
def test_a_teacher_like_the_folders_stays(exported, name, capsys):
    text = SETTINGS.replace("exported", name)
    for is_chosen in (True, False):
        network = described_teacher(settings_of(exported, text), is_chosen)
        assert network is None
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("here", "message"),
    [
        (("hop_length: 100", "hop_length: 128"), "hop_length: 100 there, 128"),
        (("nn.Linear", "nn.Conv1d"), "model: Linear there, Conv1d here"),
    ],
)
def test_a_chosen_teacher_unlike_the_folders_is_refused(
    exported, here, message
):
    settings = settings_of(exported, SETTINGS.replace(*here))
    with pytest.raises(UserError, match=f"{message}(.|\n)*leave --teacher out"):
        described_teacher(settings, is_chosen=True)
    hparams = {"teacher_ckpt": exported, "teacher": {"model": nn.Linear(1, 1)}}
    with pytest.raises(UserError, match=message):
        load_teacher(hparams, settings)


def test_a_checkpoint_that_nobody_needs_may_be_gone(tmp_path):
    gone = tmp_path / "gone"
    for changes in (
        {"clean_as_teacher": True},
        {"kd_weight": 0},
        {"kd": {"loss": None}},
    ):
        settings = settings_of(gone, **changes)
        assert described_teacher(settings, is_chosen=False) is None
        with pytest.raises(UserError, match="where there is nothing"):
            described_teacher({**settings, "init_from_teacher": True}, False)


@pytest.mark.parametrize(
    "code",
    ["!apply:os.getcwd []", "!new:subprocess.Popen [ls]", "!name:os.getcwd"],
)
def test_settings_of_others_run_no_code(exported, code):
    path = exported / "enhancer/hyperparams.yaml"
    path.write_text(path.read_text().replace("100", code))
    network = read_network(exported).network
    assert tag_of(network["hop_length"]) == code.split()[0]
    with pytest.raises(
        UserError, match=r"made of torch modules(.|\n)*--teacher"
    ):
        described_teacher(settings_of(exported), is_chosen=False)


def test_missing_checkpoint_says_what_is_there(tmp_path):
    with pytest.raises(UserError, match="where there is nothing"):
        find_teacher_checkpoint(tmp_path / "none")
    with pytest.raises(UserError, match="without trained weights"):
        find_teacher_checkpoint(tmp_path)
