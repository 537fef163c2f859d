"""What the values of a comparison file must be."""

import math
import re
from collections.abc import Callable, Mapping

from speechbrain_dfkd.command_line import SHARED_KEYS
from speechbrain_dfkd.errors import UserError, is_number

# Metrics of which a higher value is better.
_METRICS = ("pesq_wb", "pesq_nb", "stoi", "si_sdr")
# The comparison itself decides on these ...
_DECIDED = {"seed", "output_folder", "save_folder", "run", "experiment"}
# ... and these must be the same in all arms: data and teacher.
_HELD = {*SHARED_KEYS, "teacher_ckpt", "teacher_leaf", "teacher_overrides"}


def require(key: str, constraint: str, value, keeps: Callable) -> None:
    """Raise a ``UserError`` unless ``keeps(value)``.

    Arguments
    ---------
    key : str
        What has the value.
    constraint : str
        What it must.
    value : object
        Of the comparison file.
    keeps : callable
        Tells whether a value does.
    """
    if not keeps(value):
        raise UserError(
            f"{key} must {constraint}, got {value!r}; correct the comparison "
            f"file"
        )


def require_arm(arm: str, overrides: Mapping) -> None:
    """Raise a ``UserError`` for a name or a change that no arm can have."""
    require("an arm's name", "be letters, digits, _ . and -", arm, _is_name)
    require(
        f"arm {arm}", "be a mapping of keys of the leaf to values, perhaps {}",
        overrides, lambda value: isinstance(value, Mapping),
    )  # fmt: skip
    decided, held = sorted(_DECIDED & set(overrides)), _HELD & set(overrides)
    if decided:
        raise UserError(
            f"arm {arm} must not set what the comparison decides, got "
            f"{', '.join(decided)}; drop it"
        )
    if held:
        raise UserError(
            f"arm {arm} must not set what all arms share, got "
            f"{', '.join(sorted(held))}; give it on the command line instead"
        )


def require_arm_seeds(arm_seeds: Mapping, others: list, seeds: list) -> None:
    """Raise a ``UserError`` for seeds that an arm cannot have of its own.

    Arguments
    ---------
    arm_seeds : mapping
        ``{arm: list of seeds}``; with none the arm is tuned only.
    others : list of str
        The arms but the baseline, which needs all seeds: the others are
        paired with it by seed.
    seeds : list of int
        Those of the comparison.
    """
    for arm, own in arm_seeds.items():
        require(
            "arm_seeds",
            "name arms other than the baseline, which has all seeds: "
            f"{', '.join(others)}",
            arm, others.__contains__,
        )  # fmt: skip
        require(
            f"arm_seeds of {arm}", f"be some of the seeds {seeds}, or []",
            own, _all(lambda seed: _is_integer(seed) and seed in seeds),
        )  # fmt: skip


def _is_name(value):
    return isinstance(value, str) and re.fullmatch(r"[\w.-]+", value)


def _is_finite(value):
    return is_number(value) and math.isfinite(value)


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _all(keeps: Callable, least: int = 0) -> Callable:
    """Return the check of a list of distinct values that each keep it."""
    return lambda values: (
        isinstance(values, list)
        and all(map(keeps, values))
        and len({*values}) == len(values) >= least
    )


def _is_positive(value):
    return _is_finite(value) and value > 0


# key: (what it must, whether a value does)
CONSTRAINTS = {
    "name": ("be letters, digits, _ . and -", _is_name),
    "arms": (
        "be a mapping of two names or more to overrides of the leaf",
        lambda arms: isinstance(arms, Mapping) and len(arms) > 1,
    ),
    "seeds": ("be distinct integers, at least one", _all(_is_integer, 1)),
    "tuning_seed": ("be an integer", _is_integer),
    "gradient_ratios": ("be distinct numbers above 0", _all(_is_positive)),
    "learning_rates": ("be distinct numbers above 0", _all(_is_positive)),
    "tune_on": (f"be one of {', '.join(_METRICS)}", _METRICS.__contains__),
    "side_by_side": (
        "be an integer of at least 1",
        lambda value: _is_integer(value) and value >= 1,
    ),
    "gate": (
        f"map some of {', '.join(_METRICS)} to numbers",
        lambda gate: (
            isinstance(gate, Mapping)
            and set(gate) <= set(_METRICS)
            and all(map(_is_finite, gate.values()))
        ),
    ),
    "confidence": (
        "be a number between 0 and 1",
        lambda value: _is_finite(value) and 0 < value < 1,
    ),
    "bootstrap_draws": (
        "be an integer of at least 100",
        lambda value: _is_integer(value) and value >= 100,
    ),
    "snr_edges_db": (
        "be ascending numbers",
        lambda edges: _all(_is_finite)(edges) and edges == sorted(edges),
    ),
    "arm_seeds": (
        "be a mapping of arms to lists of seeds, perhaps {}",
        lambda value: isinstance(value, Mapping),
    ),
}
