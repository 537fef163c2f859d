"""Refuses what a training would refuse hours later, or with a traceback."""

from collections.abc import Callable, Mapping

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
            value, check = settings[key], row.check
            advice = check.advice.format(key=key)
            kept = check.accepts(value)
            require(key, kept, check.constraint, repr(value), advice)
    ramp, stop = settings.get("kd_ramp", 0), settings.get("kd_stop", 1)
    require(
        "kd_ramp", ramp <= stop, "at most kd_stop", f"{ramp} above {stop}",
        "kd_weight is never reached so; pass --kd_ramp or --kd_stop with "
        "another share",
    )  # fmt: skip


def check_run_options(run_opts: RunOptions, settings: Mapping) -> None:
    """Refuse options of SpeechBrain that this machine cannot follow.

    ``settings`` may have some of them as keys, which come first.
    """

    def option(key):
        return settings.get(key, run_opts[key])

    device = option("device") or infer_device()
    _check_device(device)
    half = [k for k in ("precision", "eval_precision") if option(k) == "fp16"]
    half += ["auto_mix_prec"] * bool(option("auto_mix_prec"))
    if half and torch.device(device).type == "cpu":
        raise UserError(
            f"{half[0]} must not be fp16 on a CPU, got --{half[0]} with the "
            f"device {device}; pass --{half[0]} bf16, or a GPU as --device"
        )
    _check_module_keys(option, settings.get("modules", {}))
    if option("data_parallel_backend") and not torch.cuda.device_count():
        raise UserError(
            "data_parallel_backend must have a GPU, got none; drop it"
        )
    steps = option("ckpt_interval_steps")
    minutes = option("ckpt_interval_minutes")
    if steps > 0 and minutes > 0:
        raise UserError(
            f"checkpoints must be saved by steps or by minutes, got "
            f"ckpt_interval_steps {steps} and ckpt_interval_minutes {minutes}; "
            f"pass --ckpt_interval_minutes 0 as well"
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


def _check_module_keys(option: Callable, modules: Mapping) -> None:
    """Refuse modules that SpeechBrain would not find, or not look for."""
    for flag in ("compile", "jit"):
        key = f"{flag}_module_keys"
        named = option(key) or []
        unknown = [name for name in named if name not in modules]
        require(
            key, not unknown, f"among {', '.join(modules)}", ", ".join(unknown),
            "drop it (a teacher that is trained first has modules of its own: "
            "give it as --teacher_ckpt)",
        )  # fmt: skip
        if named and not option(flag):
            raise UserError(
                f"{key} must go with {flag}, got {', '.join(named)} alone, "
                f"which SpeechBrain ignores; pass --{flag} as well"
            )


def check_objects(hparams: Mapping) -> None:
    """Refuse objects of a leaf that a training would stumble over."""

    def check(key, value, fulfilled, constraint):
        require(key, fulfilled, constraint, repr(value), _NAME_A_CLASS)

    def entry(key, name):
        value = hparams[key]
        found = isinstance(value, Mapping) and name in value
        check(key, value, found, f"settings with {name}")
        return value[name]

    for role in ("student", "teacher"):
        if role in hparams:
            model = entry(role, "model")
            is_network = isinstance(model, nn.Module)
            check(f"{role}.model", model, is_network, "a network")
    for name, module in hparams["modules"].items():
        is_module = isinstance(module, nn.Module) or module is None
        check(f"modules.{name}", module, is_module, "a module")
    # Prepared data need no function that prepares them.
    for name in ("prepare", "make_train")[bool(hparams["skip_prep"]) :]:
        value = entry("dataset", name)
        check(f"dataset.{name}", value, callable(value), "a function")
    for key, row in KEYS.items():
        if row.built:
            value, built = hparams[key], row.built
            check(key, value, built.accepts(value), built.constraint)
    _check_optimizer(hparams["opt_class"])
    _check_supervised_loss(hparams["supervised_loss"])


def _check_optimizer(opt_class: Callable) -> None:
    optimizer, reason = None, ""
    try:
        optimizer = opt_class([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        reason = f" ({error})"
    require(
        "opt_class", isinstance(optimizer, torch.optim.Optimizer),
        "a class of optimizers with arguments that it takes",
        f"{opt_class!r}{reason}",
        "pass for example --opt_class '!name:torch.optim.AdamW {lr: 0.001}'",
    )  # fmt: skip


def _check_supervised_loss(loss: Callable) -> None:
    """Call it as a training does: estimate, target, relative lengths."""
    signal = torch.linspace(-1, 1, 16000).sin().expand(2, -1)
    try:
        value = loss(0.5 * signal, signal, torch.ones(2))
    except (TypeError, ValueError, RuntimeError) as error:
        value = error
    if not (isinstance(value, torch.Tensor) and value.ndim == 0):
        raise UserError(
            f"supervised_loss must give a scalar for estimate and target [B, "
            f"T] and relative lengths [B], got {loss!r}, which gives {value!r}; "
            f"pass for example '!name:speechbrain_dfkd.losses.si_snr_loss'"
        )
