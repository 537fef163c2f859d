"""Files of weights are read without running what they hold."""

import argparse
import fractions
import importlib.util
import json
import zipfile

import numpy as np
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher.trained_network import (
    differences,
    read_checkpoint,
)


def test_plain_content_and_a_version_are_read(tmp_path):
    content = {"a": torch.ones(2), "version": torch.__version__}
    torch.save(content, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth")
    assert read["a"].equal(content["a"])
    assert read["version"] == torch.__version__


@pytest.mark.parametrize(
    ("content", "needs"),
    [
        ({"score": np.float64(1.5)}, "numpy"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        ({"a": fractions.Fraction(1, 2)}, "fractions.Fraction"),
    ],
)
def test_what_needs_code_is_named(tmp_path, content, needs):
    path = tmp_path / "c.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match="without running code") as caught:
        read_checkpoint(path)
    for fragment in (str(path), needs, "weights_only=False", "state_dict()"):
        assert fragment in str(caught.value)


def test_what_a_lightning_checkpoint_needs_is_told(tmp_path):
    content = {"state_dict": {}, "hyper_parameters": argparse.Namespace(a=1)}
    torch.save(content, tmp_path / "c.ckpt")
    with pytest.raises(UserError, match="argparse.Namespace") as caught:
        read_checkpoint(tmp_path / "c.ckpt")
    assert 'torch.save(content["state_dict"], "teacher.pth")' in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_what_is_no_file_of_weights_is_named(tmp_path, content, kind):
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=kind):
        read_checkpoint(path)


def test_a_file_that_unpacks_to_much_more_is_not_unpacked(
    tmp_path, monkeypatch
):
    torch.save({"a": torch.zeros(2**20)}, tmp_path / "c.pth")
    with (
        zipfile.ZipFile(tmp_path / "c.pth") as stored,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as deflated,
    ):
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    assert read_checkpoint(tmp_path / "c.pth")["a"].shape == (2**20,)
    assert (tmp_path / "bomb.pth").stat().st_size < 20000
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(UserError, match="stored uncompressed.*unpack to 4"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_safetensors_are_read_where_the_package_is(tmp_path):
    path = tmp_path / "c.safetensors"
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    number = np.float32(1.5).tobytes()
    path.write_bytes(len(header).to_bytes(8, "little") + header + number)
    if importlib.util.find_spec("safetensors"):
        assert read_checkpoint(path)["a"].tolist() == [1.5]
        return
    with pytest.raises(UserError, match="pip install safetensors"):
        read_checkpoint(path)


def test_each_difference_is_found_once():
    one, two = torch.ones(1), torch.ones(2)
    file = {"b": one, "c": one, "d": two}
    # Of each kind in turn: five lines show a prefix.
    assert differences(file, {"a": one, "b": two, "e": one}) == [
        "missing: a",
        "unexpected: c",
        "shape of b: (1,) in the file, (2,) in the network",
        "missing: e",
        "unexpected: d",
    ]
    assert differences({"a": one}, {"a": two}) == [
        "shape of a: (1,) in the file, (2,) in the network"
    ]
