"""What SpeechBrain would refuse late is refused at once."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.settings.checks import check_objects, check_run_options
from speechbrain_dfkd.settings.configuration import compose
from speechbrain_dfkd.settings.keys import DFKD_KEYS

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "recipes/VoiceBank"


def check(settings=None, **options):
    check_run_options(RunOptions.from_dictionary(options), settings or {})


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "cud", "meta:x", "mps"])
def test_a_device_that_is_not_there_is_named(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=f"device must be .*'{device}'"):
        check(device=device)


def test_a_device_that_is_there_is_taken(monkeypatch):
    check(device="cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check(device="cuda:1", precision="fp16")
    with pytest.raises(UserError, match="it has 2 CUDA devices"):
        check(device="cuda:2")


@pytest.mark.parametrize("key", ["precision", "eval_precision"])
def test_half_precision_on_a_cpu_is_refused(key):
    with pytest.raises(UserError, match=f"{key} must not be fp16 on a CPU"):
        check(device="cpu", **{key: "fp16"})
    with pytest.raises(UserError, match="pass --.* bf16"):
        check({key: "fp16"}, device="cpu")  # in the leaf
    check(device="cpu", **{key: "bf16"})


def test_options_that_exclude_each_other_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="pass --ckpt_interval_minutes 0"):
        check({"ckpt_interval_minutes": 5}, device="cpu", ckpt_interval_steps=3)
    with pytest.raises(UserError, match="data_parallel_backend"):
        check(device="cpu", data_parallel_backend=True)


def test_modules_that_are_compiled_are_named_rightly():
    modules = {"modules": {"student": "x", "kd_loss": "y"}}
    named = {"compile_module_keys": ["kd_loss"], "device": "cpu"}
    check(modules, compile=True, **named)
    with pytest.raises(UserError, match="must go with compile, got kd_loss"):
        check(modules, **named)
    teacher = {"modules": {"teacher": "x"}}
    with pytest.raises(UserError, match="among teacher, got kd_loss"):
        check(teacher, compile=True, **named)


@pytest.fixture(scope="module")
def hparams(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("objects"))
        patch.setattr(sys, "path", [str(RECIPE), *sys.path])
        text = "student: dccrn_eighth\nteacher: dccrn_eighth"
        layers = [RECIPE / "voicebank.yaml"]
        leaf = ROOT / "hparams/dccrn_dfkd.yaml"
        return compose(leaf, layers, text, DFKD_KEYS).build()


def test_the_objects_that_ship_are_good(hparams):
    check_objects(hparams)


def no_loss(estimate, target, lengths):
    return estimate


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("opt_class", "AdamW", "opt_class must be .*'str' object is not call"),
        ("opt_class", torch.nn.Linear, "opt_class must be"),
        ("opt_class", dict, "opt_class must be"),
        (
            "opt_class",
            partial(torch.optim.SGD, lr=1, beta=2),
            "opt_class .*unexpected keyword argument 'beta'",
        ),
        ("opt_class", partial(torch.optim.SGD, lr=-1), "Invalid learning rate"),
        ("supervised_loss", "si_snr", "supervised_loss must give a scalar"),
        ("supervised_loss", torch.nn.L1Loss, "supervised_loss must give a sca"),
        ("supervised_loss", no_loss, "supervised_loss must give a scalar"),
        ("supervised_loss", partial(si_snr_loss, x=1), "argument 'x'"),
        ("lr_annealing", "plateau", "lr_annealing must be callable"),
        ("train_logger", "tensorboard", "train_logger must be .* log_stats"),
        ("checkpointer", None, "checkpointer must be an object"),
        ("epoch_counter", 3, "epoch_counter must be an object"),
        ("modules", {"student": "DCCRN"}, "modules.student must be a module"),
        ("student", {"model": "DCCRN"}, "student.model must be a network"),
        ("student", "DCCRN", "student must be settings with model"),
        ("dataset", {"prepare": "x", "make_train": print}, "dataset.prepare"),
        (
            "dataset",
            {"prepare": print},
            "dataset must be settings with make_tr",
        ),
    ],
)
def test_an_object_of_the_wrong_kind_is_named(hparams, key, value, message):
    with pytest.raises(UserError, match=message):
        check_objects({**hparams, key: value})
