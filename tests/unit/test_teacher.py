"""A teacher gives targets and nothing else, and only the right one loads."""

import pytest
import torch
from torch import nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.inference.export import export_enhancer
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.teacher import (
    FrozenTeacher,
    check_exported,
    find_teacher_checkpoint,
    fingerprint,
    load_strictly,
)


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
    load_strictly(target, tmp_path / "t.ckpt")
    assert fingerprint(target) == fingerprint(source)


def other_names(state):
    return {f"x.{key}": value for key, value in state.items()}


def fewer(state):
    return {key: state[key] for key in list(state)[1:]}


@pytest.mark.parametrize(
    ("change", "message"),
    [(other_names, "missing: conv.weight"), (fewer, "missing: conv.weight")],
)
def test_other_network_is_refused(tmp_path, change, message):
    torch.save(change(Network().state_dict()), tmp_path / "t.ckpt")
    with pytest.raises(UserError, match=message):
        load_strictly(Network(), tmp_path / "t.ckpt")


def test_other_size_names_both_shapes(tmp_path):
    torch.save(Network(4).state_dict(), tmp_path / "t.ckpt")
    with pytest.raises(UserError, match=r"conv.weight: \(4, 1, 1\).*\(2, 1, 1"):
        load_strictly(Network(), tmp_path / "t.ckpt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_broken_file_is_refused(tmp_path, content):
    (tmp_path / "t.ckpt").write_bytes(content)
    with pytest.raises(UserError, match="teacher_ckpt must be a state_dict"):
        load_strictly(Network(), tmp_path / "t.ckpt")


def test_file_that_runs_code_is_refused(tmp_path):
    torch.save(Network(), tmp_path / "t.ckpt")  # pickles the class itself
    with pytest.raises(UserError, match="torch.save"):
        load_strictly(Network(), tmp_path / "t.ckpt")


SETTINGS = "teacher: {hop_length: 100, model: !new:torch.nn.Linear [1, 1]}"


def test_exported_folder_is_found_and_checked(tmp_path):
    model = nn.Linear(1, 1)
    export_enhancer(tmp_path / "enhancer", SETTINGS, "teacher", model, 16000)
    path = find_teacher_checkpoint(tmp_path)
    assert path == find_teacher_checkpoint(tmp_path / "enhancer")
    assert path == find_teacher_checkpoint(path)
    check_exported(path, {"hop_length": 100}, 16000)
    with pytest.raises(UserError, match="hop_length: 100 there, 128 here"):
        check_exported(path, {"hop_length": 128}, 16000)
    with pytest.raises(UserError, match="sample_rate: 16000 there, 8000"):
        check_exported(path, {"hop_length": 100}, 8000)


def test_missing_checkpoint_says_what_is_there(tmp_path):
    with pytest.raises(UserError, match="where there is nothing"):
        find_teacher_checkpoint(tmp_path / "none")
    with pytest.raises(UserError, match="without trained weights"):
        find_teacher_checkpoint(tmp_path)
