"""What the package uses of SpeechBrain that SpeechBrain calls private."""

import ast
import re
from pathlib import Path

import pytest
import speechbrain as sb
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.settings.words import _Options
from speechbrain_dfkd.training.checkpointer import AtomicCheckpointer
from speechbrain_dfkd.training.dfkd_brain import DFKDBrain

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "speechbrain_dfkd").rglob("*.py"))
HOOKS = {
    sb.Brain: {
        "_fit_train",
        "_save_intra_epoch_ckpt",
        "_should_save_intra_epoch_ckpt",
        "_wrap_distributed",
    },
    Checkpointer: {"_save_checkpoint_metafile"},
    RunOptions: {"_create_parser"},
}
OURS = {
    sb.Brain: DFKDBrain,
    Checkpointer: AtomicCheckpointer,
    RunOptions: _Options,
}
# Of argparse, and of named tuples.
OTHERS = {"_asdict", "_fields", "_option_string_actions", "_replace"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("owner", HOOKS, ids=lambda owner: owner.__name__)
def test_speechbrain_has_the_hooks_that_are_overridden(owner):
    missing = {hook for hook in HOOKS[owner] if not hasattr(owner, hook)}
    assert missing == set(), f"{owner.__name__} of SpeechBrain has changed"
    own = {
        name
        for kind in OURS[owner].__mro__
        if kind.__module__.startswith("speechbrain_dfkd.")
        for name in vars(kind)
    }
    overridden = set(filter(is_private, own & set(dir(owner))))
    assert overridden <= HOOKS[owner], "to be listed above"


def test_hooks_that_are_called_are_listed():
    called, own = set(), set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                is_set = isinstance(node.ctx, ast.Store)
                (own if is_set else called).add(node.attr)
            elif isinstance(node, ast.FunctionDef):
                own.add(node.name)
    assert called - own - OTHERS <= set().union(*HOOKS.values())


def test_the_version_of_speechbrain_is_capped():
    text = (ROOT / "setup.py").read_text()
    assert re.search(r'"speechbrain>=1\.1,<1\.2"', text)
