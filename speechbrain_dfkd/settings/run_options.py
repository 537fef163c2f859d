"""Refuses what SpeechBrain would refuse hours later, or with a traceback."""

import torch
from speechbrain.utils.distributed import infer_device
from torch import nn

from speechbrain_dfkd.errors import UserError


def check_run_options(run_opts, settings: dict) -> None:
    """Refuse options of SpeechBrain's that this machine cannot follow.

    Arguments
    ---------
    run_opts : speechbrain.utils.run_opts.RunOptions
        Those of the command line.
    settings : dict
        Resolved settings, among them options that the leaf has as keys.

    Raises
    ------
    UserError
        For a device that is not there, half precision on a CPU, and options
        that exclude each other.
    """

    def option(key):
        return settings.get(key, run_opts[key])

    device = option("device") or infer_device()
    _check_device(device)
    half = [
        key for key in ("precision", "eval_precision") if option(key) == "fp16"
    ]
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
    if (
        option("ckpt_interval_steps") > 0
        and option("ckpt_interval_minutes") > 0
    ):
        raise UserError(
            f"checkpoints must be saved by steps or by minutes, got "
            f"ckpt_interval_steps {option('ckpt_interval_steps')} and "
            f"ckpt_interval_minutes {option('ckpt_interval_minutes')}; pass "
            f"--ckpt_interval_minutes 0 as well"
        )


def _check_module_keys(option, modules):
    """Refuse modules that SpeechBrain would not find, or not look for."""
    for flag in ("compile", "jit"):
        key = f"{flag}_module_keys"
        named = option(key) or []
        unknown = [name for name in named if name not in modules]
        if unknown:
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


def _check_device(device):
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


def check_objects(hparams: dict) -> None:
    """Refuse objects of a leaf that a training would stumble over.

    Arguments
    ---------
    hparams : dict
        Objects of a leaf.

    Raises
    ------
    UserError
        For the first that is not what its key needs.
    """
    for role in ("student", "teacher"):
        if role in hparams:
            model = _entry(hparams, role, "model")
            _require(
                f"{role}.model",
                isinstance(model, nn.Module),
                "a network",
                model,
            )
    for name, module in hparams["modules"].items():
        is_module = isinstance(module, nn.Module) or module is None
        _require(f"modules.{name}", is_module, "a module", module)
    # Prepared data need no function that prepares them.
    for key in ("prepare", "make_train")[bool(hparams["skip_prep"]) :]:
        value = _entry(hparams, "dataset", key)
        _require(f"dataset.{key}", callable(value), "a function", value)
    _require(
        "lr_annealing", callable(hparams["lr_annealing"]), "callable",
        hparams["lr_annealing"],
    )  # fmt: skip
    for key, method in (
        ("train_logger", "log_stats"),
        ("checkpointer", "recover_if_possible"),
        ("epoch_counter", "__iter__"),
    ):
        value = hparams[key]
        _require(
            key, hasattr(value, method), f"an object with {method}()", value
        )
    _check_optimizer(hparams["opt_class"])
    _check_supervised_loss(hparams["supervised_loss"])


def _entry(hparams, key, name):
    value = hparams[key]
    found = isinstance(value, dict) and name in value
    _require(key, found, f"settings with {name}", value)
    return value[name]


def _require(key, fulfilled, constraint, value):
    if not fulfilled:
        raise UserError(
            f"{key} must be {constraint}, got {value!r}; name a class or a "
            f"function by its tag, such as --opt_class '!name:torch.optim.AdamW "
            f"{{lr: 0.001}}'"
        )


def _check_optimizer(opt_class):
    constraint = "a class of optimizers with arguments that it takes"
    example = (
        "pass for example --opt_class '!name:torch.optim.AdamW {lr: 0.001}'"
    )
    try:
        optimizer = opt_class([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"opt_class must be {constraint}, got {opt_class!r} ({error}); "
            f"{example}"
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(
            f"opt_class must be {constraint}, got {opt_class!r}; {example}"
        )


def _check_supervised_loss(loss):
    """Call it as a training does: estimate, target, relative lengths."""
    signal = torch.linspace(-1, 1, 16000).sin().expand(2, -1)
    try:
        value = loss(0.5 * signal, signal, torch.ones(2))
    except (TypeError, ValueError, RuntimeError) as error:
        value = error
    is_loss = isinstance(value, torch.Tensor) and value.ndim == 0
    if not is_loss:
        raise UserError(
            f"supervised_loss must give a scalar for estimate and target [B, "
            f"T] and relative lengths [B], got {loss!r}, which gives {value!r}; "
            f"pass for example '!name:speechbrain_dfkd.losses.si_snr_loss'"
        )
