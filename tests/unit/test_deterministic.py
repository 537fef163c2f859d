"""Which parts run in PyTorch's deterministic mode on CUDA, by its lists."""

import re
from pathlib import Path

import pytest
import torch
from every_loss import OBJECTIVES, SUPERVISED, outcome
from small_networks import NETWORKS
from torch.utils._python_dispatch import TorchDispatchMode

PAGE = Path(__file__).parents[2] / "docs/costs.md"
# Of torch.use_deterministic_algorithms, what is an error on CUDA in PyTorch
# 2.14, by the name that dispatch has for it; some only of floats, or with an
# argument, which then stand here whatever is given.
REFUSED = re.compile(
    r"(avg_pool3d|_?adaptive_avg_pool[23]d|adaptive_max_pool2d"
    r"|fractional_max_pool[23]d|reflection_pad[123]d"
    r"|upsample_(linear1d|bilinear2d|bicubic2d|trilinear3d)"
    r"|grid_sampler_[23]d|_ctc_loss)_backward"
    r"|max_unpool[23]d|nll_loss2?d?_forward|put_?|histc|bincount|median"
    r"|nanmedian|kthvalue|resize_|_embedding_bag.*"
)
# Deterministic from some version after 2.7 on.
REFUSED_EARLIER = {"cumsum"}


class Recorder(TorchDispatchMode):
    """Notes the operations that run, those of backward passes included."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


def operations_of(name):
    """Return what a part runs, forward and backward."""
    with Recorder() as recorder:
        if name in NETWORKS:
            make, settings = NETWORKS[name]
            make(**settings)(torch.randn(2, 2001)).wav.square().sum().backward()
        else:
            outcome(name)
    assert "ones_like" in recorder.names, "a backward pass begins with ones"
    return recorder.names


def test_the_page_has_what_the_operations_say():
    found = {"always": {}, "earlier": {}}
    for name in [*OBJECTIVES, *SUPERVISED, *NETWORKS]:
        operations = operations_of(name)
        always = sorted(filter(REFUSED.fullmatch, operations))
        earlier = sorted(REFUSED_EARLIER & operations)
        for key, refused in (("always", always), ("earlier", earlier)):
            for operation in refused:
                found[key].setdefault(operation, []).append(name)
    text = PAGE.read_text().partition("## Deterministic mode\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.M)
    listed = {"always": {}, "earlier": {}}
    for operation, names, versions in rows:
        key = "always" if versions == "all" else "earlier"
        listed[key][operation] = re.findall(r"`(\w+)`", names)
    assert listed == found


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*OBJECTIVES, *SUPERVISED])
def test_a_loss_refuses_on_a_gpu_what_the_page_says(name, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    refuses = any(map(REFUSED.fullmatch, operations_of(name)))
    torch.use_deterministic_algorithms(True)
    try:
        if refuses:
            with pytest.raises(RuntimeError, match="deterministic"):
                outcome(name, "cuda")
        else:
            first, second = outcome(name, "cuda"), outcome(name, "cuda")
            assert all(map(torch.equal, first, second))
    finally:
        torch.use_deterministic_algorithms(False)
