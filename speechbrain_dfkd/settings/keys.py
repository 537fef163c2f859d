"""Ranges of a run's settings."""

from speechbrain_dfkd.errors import UserError, is_number

# A constraint in words, and whether a number keeps it.
_ABOVE_0 = ("a number above 0", lambda value: value > 0)
_AT_LEAST_0 = ("a number at least 0", lambda value: value >= 0)
_SHARE = ("a number from 0 to 1", lambda value: 0 <= value <= 1)
_SHARE_ABOVE_0 = ("a number above 0 up to 1", lambda value: 0 < value <= 1)
_INTEGER_AT_LEAST_0 = (
    "an integer at least 0",
    lambda value: isinstance(value, int) and value >= 0,
)
_INTEGER_AT_LEAST_1 = (
    "an integer at least 1",
    lambda value: isinstance(value, int) and value >= 1,
)
_NUMBERS = {
    "kd_weight": _AT_LEAST_0,
    "kd_ramp": _SHARE,
    "kd_stop": _SHARE_ABOVE_0,
    "kd_gradient_ratio": _ABOVE_0,
    "kd_gradient_batches": _INTEGER_AT_LEAST_1,
    "number_of_epochs": _INTEGER_AT_LEAST_1,
    "batch_size": _INTEGER_AT_LEAST_1,
    "segment_seconds": _ABOVE_0,
    "lr": _ABOVE_0,
    "lr_factor": _SHARE_ABOVE_0,
    "lr_patience": _INTEGER_AT_LEAST_0,
    "lr_decay_share": _SHARE,
    "weight_decay": _AT_LEAST_0,
    # SpeechBrain takes a negative norm for "no clipping", but ascends then.
    "max_grad_norm": _ABOVE_0,
    "nonfinite_patience": _INTEGER_AT_LEAST_0,
    "ckpt_interval_minutes": _AT_LEAST_0,
    "num_workers": _INTEGER_AT_LEAST_0,
}
_MAY_BE_NULL = {"kd_gradient_ratio"}
# Of validation, those of which more is better.
_BEST_METRICS = ("pesq_wb", "stoi", "si_sdr")
# YAML reads "no" and "off" as text, which would count as True.
_FLAGS = {
    "align_polarity", "clean_as_teacher", "init_from_teacher", "save_enhanced",
    "scale_teacher", "skip_prep", "teacher_cache", "tensorboard",
}  # fmt: skip


def check_values(settings: dict) -> None:
    """Raise a UserError for a number out of range or a flag that is none.

    Arguments
    ---------
    settings : dict
        Resolved settings; keys that are not there are not checked.
    """
    for key, (constraint, keeps) in _NUMBERS.items():
        if key not in settings:
            continue
        value = settings[key]
        if value is None and key in _MAY_BE_NULL:
            continue
        if is_number(value) and keeps(value):
            continue
        raise UserError(
            f"{key} must be {constraint}, got {value!r}; "
            f"pass --{key} with another value"
        )
    if settings.get("kd_ramp", 0) > settings.get("kd_stop", 1):
        raise UserError(
            f"kd_ramp must be at most kd_stop, got {settings['kd_ramp']} above "
            f"{settings['kd_stop']}, so that kd_weight is never reached; "
            f"pass --kd_ramp or --kd_stop with another share"
        )
    if settings.get("best_metric", "pesq_wb") not in _BEST_METRICS:
        raise UserError(
            f"best_metric must be one of {', '.join(_BEST_METRICS)}, got "
            f"{settings['best_metric']!r}; pass --best_metric with one of them"
        )
    for key in sorted(_FLAGS & settings.keys()):
        if not isinstance(settings[key], bool):
            raise UserError(
                f"{key} must be True or False, got {settings[key]!r}; "
                f"pass --{key} with one of them"
            )
    if settings["sample_rate"] != 16000:
        raise UserError(
            f"sample_rate must be 16000 Hz, for which the networks and "
            f"wide-band PESQ are defined, got {settings['sample_rate']}; data "
            f"of higher rates are resampled by the preparation"
        )
