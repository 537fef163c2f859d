"""Refuses what a training would refuse hours later, or with a traceback."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from speechbrain_dfkd.errors import UserError, require
from speechbrain_dfkd.settings.keys import KEYS

_NAME_A_CLASS = (
    "name a class or a function by its tag, such as --opt_class "
    "'!name:torch.optim.AdamW {lr: 0.001}'"
)


def check_values(settings: Mapping) -> None:
    """Refuse settings out of their ranges; absent ones are not checked."""
    for key, row in KEYS.items():
        if row.check and key in settings:
            kept = row.check.accepts(settings[key])
            constraint, advice = row.check.constraint, row.check.advice
            value = repr(settings[key])
            require(key, kept, constraint, value, advice.format(key=key))
    ramp, stop = settings.get("kd_ramp", 0), settings.get("kd_stop", 1)
    if ramp > stop:
        raise UserError(
            f"kd_ramp must be at most kd_stop, got {ramp} above {stop}; pass "
            f"--kd_ramp or --kd_stop with another share"
        )


def check_run_options(run_opts: RunOptions, settings: Mapping) -> None:
    """Refuse options of SpeechBrain that this machine cannot follow."""

    def option(key: str) -> Any:
        return settings.get(key, run_opts[key])

    device = option("device") or infer_device()
    _check_device(device)
    for key in ("precision", "eval_precision", "auto_mix_prec"):
        if option(key) in ("fp16", True) and torch.device(device).type == "cpu":
            raise UserError(
                f"{key} must not be fp16 on a CPU, got --{key} with the "
                f"device {device}; pass --{key} bf16, or a GPU as --device"
            )
    has_gpu = torch.cuda.device_count() or not option("data_parallel_backend")
    require("data_parallel_backend", has_gpu, "on a GPU", "none", "drop it")
    intervals = [option(f"ckpt_interval_{u}") for u in ("steps", "minutes")]
    if min(intervals) > 0:
        raise UserError(
            "checkpoints must be saved by steps or by minutes, got both; "
            "pass --ckpt_interval_minutes 0 as well"
        )
    # SpeechBrain would not find them, or not look for them.
    modules = settings.get("modules", {})
    for flag in ("compile", "jit"):
        key = f"{flag}_module_keys"
        named = option(key) or []
        if unknown := [name for name in named if name not in modules]:
            raise UserError(
                f"{key} must be among {', '.join(modules)}, got "
                f"{', '.join(unknown)}; drop it (a teacher that is trained "
                f"first has modules of its own: give it as --teacher_ckpt)"
            )
        if named and not option(flag):
            raise UserError(
                f"{key} must go with {flag}, got {', '.join(named)} alone, "
                f"which SpeechBrain ignores; pass --{flag} as well"
            )


def _check_device(device: str) -> None:
    try:
        wanted = torch.device(device)
        if wanted.type == "cuda":
            # Nothing is allocated: the trainings of a comparison need it.
            found = torch.cuda.device_count()
            if (wanted.index or 0) >= found:
                raise RuntimeError(f"it has {found} CUDA devices")
        else:
            torch.empty(1, device=wanted)
    # PyTorch says by an assertion that it was built without a backend.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].partition(". ")[0]
        raise UserError(
            f"device must be one of this machine, got {device!r} ({reason}); "
            f"pass --device cpu, or leave it out"
        ) from error


def check_objects(hparams: Mapping) -> None:
    """Refuse objects of a leaf that a training would stumble over."""

    def check(key: str, value: Any, fulfilled: bool, constraint: str) -> None:
        require(key, fulfilled, constraint, repr(value), _NAME_A_CLASS)

    def check_entry(key: str, name: str, kept: Callable, kind: str) -> None:
        value = hparams[key]
        found = isinstance(value, Mapping) and name in value
        check(key, value, found, f"settings with {name}")
        check(f"{key}.{name}", value[name], kept(value[name]), kind)

    def is_module(value: Any) -> bool:
        return isinstance(value, nn.Module)

    for role in hparams.keys() & {"student", "teacher"}:
        check_entry(role, "model", is_module, "a network")
    for name, module in hparams["modules"].items():
        kept = module is None or is_module(module)
        check(f"modules.{name}", module, kept, "a module")
    # Prepared data need no function that prepares them.
    for name in ("prepare", "make_train")[bool(hparams["skip_prep"]) :]:
        check_entry("dataset", name, callable, "a function")
    for key, row in KEYS.items():
        if row.built:
            value, built = hparams[key], row.built
            check(key, value, built.accepts(value), built.constraint)
    parameters = [nn.Parameter(torch.zeros(1))]
    made, reason = _called(hparams["opt_class"], parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise UserError(
            f"opt_class must be a class of optimizers with arguments that it "
            f"takes, got {reason}; {_NAME_A_CLASS}"
        )
    signal = torch.linspace(-1, 1, 16000).sin().expand(2, -1)
    inputs = 0.5 * signal, signal, torch.ones(2)
    made, reason = _called(hparams["supervised_loss"], *inputs)
    if not (isinstance(made, torch.Tensor) and made.ndim == 0):
        raise UserError(
            f"supervised_loss must give a scalar for estimate and target "
            f"[B, T] and relative lengths [B], got {reason}; {_NAME_A_CLASS}"
        )


def _called(function: Callable, *inputs: Any) -> tuple[Any, str]:
    """Return what a call gives, if only an error, and both in words."""
    try:
        made = function(*inputs)
    except (TypeError, ValueError, RuntimeError) as error:
        made = error
    return made, f"{function!r}, which gives {made!r}"
