"""What a comparison file asks for, checked."""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError, is_number
from speechbrain_dfkd.settings.command_line import SHARED_KEYS
from speechbrain_dfkd.settings.tree import (
    dump_tree,
    one_line,
    plain_settings,
    read_tree,
)

# Metrics of which a higher value is better.
_METRICS = ("pesq_wb", "pesq_nb", "stoi", "si_sdr")
# Keys of the leaf: what the comparison itself decides, what must be the same in
# all arms (data and teacher), and what it may tune.
_DECIDED = {"seed", "output_folder", "save_folder", "run", "experiment"}
_HELD = {*SHARED_KEYS, "teacher_ckpt", "teacher_leaf", "teacher_overrides"}
TUNABLE = ("kd_gradient_ratio", "lr")


def require(key: str, constraint: str, value, accepts: Callable) -> None:
    """Raise a ``UserError`` unless ``accepts(value)``."""
    if not accepts(value):
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
    instead = "give it on the command line instead"
    for keys, owner, advice in (
        (_DECIDED, "the comparison decides", "drop it"),
        (_HELD, "all arms share", instead),
    ):
        if found := sorted(keys & set(overrides)):
            raise UserError(
                f"arm {arm} must not set what {owner}, got {', '.join(found)}; "
                f"{advice}"
            )


def _is_name(value):
    return isinstance(value, str) and re.fullmatch(r"[\w.-]+", value)


def _is_finite(value):
    return is_number(value) and math.isfinite(value)


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _all(accepts: Callable, least: int = 0) -> Callable:
    """Return the predicate of a list of distinct values that are accepted."""
    return lambda values: (
        isinstance(values, list)
        and all(map(accepts, values))
        and len({*values}) == len(values) >= least
    )


def _is_positive(value):
    return _is_finite(value) and value > 0


# key: (constraint, its predicate)
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


@dataclass(frozen=True)
class Plan:
    """A comparison: arms, seeds, what is tuned, and how it is judged.

    Arguments
    ---------
    name : str
        The comparison's folder is named after it.
    baseline : str
        The arm that all others are compared with.
    arms : dict
        ``{name: {key of the leaf: value}}``, values as YAML nodes.
    seeds : list of int
        Of the trainings that are reported.
    tuning_seed : int
        Of the trainings that choose settings; not among ``seeds``.
    gradient_ratios : list of float
        Values of ``kd_gradient_ratio`` tried for each arm but the baseline.
    learning_rates : list of float
        Values of ``lr`` tried for the baseline, as many; the arms take its
        choice. Both empty: nothing is tuned.
    tune_on : str
        The metric whose mean on the validation set chooses.
    side_by_side : int
        Trainings at a time; above 1 each has one thread.
    gate : dict
        ``{metric: margin}`` by which the teacher must beat the baseline on
        validation.
    confidence : float
        Of intervals, in (0, 1).
    bootstrap_draws : int
        Draws of the bootstrap.
    snr_edges_db : list of float
        Between the report's classes of input SI-SDR, in dB.
    arm_seeds : dict
        ``{arm: some of seeds}``; an arm that is not named has them all, and
        so has the baseline. An arm with ``[]`` is trained from the tuning
        seed only and never tested.
    """

    name: str
    baseline: str
    arms: dict
    seeds: list
    tuning_seed: int
    gradient_ratios: list
    learning_rates: list
    tune_on: str
    side_by_side: int
    gate: dict
    confidence: float
    bootstrap_draws: int
    snr_edges_db: list
    arm_seeds: dict = field(default_factory=dict)

    def __post_init__(self):
        for key, (constraint, accepts) in CONSTRAINTS.items():
            require(key, constraint, getattr(self, key), accepts)
        for arm, overrides in self.arms.items():
            require_arm(arm, overrides)
        require(
            "baseline", f"be one of the arms {sorted(self.arms)}",
            self.baseline, self.arms.__contains__,
        )  # fmt: skip
        self._require_arm_seeds()
        require(
            "tuning_seed", "not be among seeds, whose scores are reported",
            self.tuning_seed, lambda seed: seed not in self.seeds,
        )  # fmt: skip
        require(
            "learning_rates",
            f"be as many as gradient_ratios, {len(self.gradient_ratios)}, so "
            "that no arm is tuned more than another",
            self.learning_rates,
            lambda rates: len(rates) == len(self.gradient_ratios),
        )
        if self.learning_rates:
            require(
                f"the baseline {self.baseline}",
                "not set lr while learning_rates are tried for it",
                list(self.arms[self.baseline]), lambda keys: "lr" not in keys,
            )  # fmt: skip

    def _require_arm_seeds(self):
        # The baseline needs all seeds: the others are paired with it by seed.
        others = [arm for arm in self.arms if arm != self.baseline]
        for arm, own in self.arm_seeds.items():
            require(
                "arm_seeds",
                "name arms other than the baseline, which has all seeds: "
                f"{', '.join(others)}",
                arm, others.__contains__,
            )  # fmt: skip
            require(
                f"arm_seeds of {arm}",
                f"be some of the seeds {self.seeds}, or []",
                own,
                _all(lambda seed: _is_integer(seed) and seed in self.seeds),
            )

    def seeds_of(self, arm: str) -> list:
        """Return the seeds from which an arm is trained to be reported."""
        return self.arm_seeds.get(arm, self.seeds)

    def as_json(self) -> dict:
        """Return all as plain values; an arm's values are YAML text."""
        arms = {
            arm: {key: one_line(value) for key, value in overrides.items()}
            for arm, overrides in self.arms.items()
        }
        return {**asdict(self), "arms": arms}


def read_plan(path) -> Plan:
    """Read a comparison file, YAML with the keys of ``Plan``."""
    tree = read_tree(Path(path))
    known = [entry.name for entry in fields(Plan)]
    unknown = [key for key in tree if key not in known]
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {known}"
        raise UserError(f"unknown key '{unknown[0]}' in {path}; {hint}")
    missing = [
        entry.name
        for entry in fields(Plan)
        if entry.name not in tree and entry.default_factory is MISSING
    ]
    if missing:
        raise UserError(
            f"{path} must describe a comparison, got none of the keys "
            f"{', '.join(missing)}; start from "
            f"hparams/comparisons/objectives.yaml"
        )
    # By way of JSON: the numbers of a YAML tree remember how they were written.
    values = json.loads(json.dumps(plain_settings(dump_tree(tree))))
    try:
        return Plan(**{**values, "arms": tree["arms"]})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
