"""What a comparison file asks for, checked."""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError, is_number
from speechbrain_dfkd.evaluation.metrics import METRICS
from speechbrain_dfkd.settings.keys import ALIKE_IN_ARMS, OWN_OF_A_TRAINING
from speechbrain_dfkd.settings.tree import (
    dump_tree,
    one_line,
    plain_settings,
    read_tree,
)

# Metrics of which a higher value is better.
_METRICS = [name for name, metric in METRICS.items() if metric.ranks]


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
        (OWN_OF_A_TRAINING, "the comparison decides", "drop it"),
        (ALIKE_IN_ARMS, "all arms share", instead),
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


def _count(least: int) -> tuple:
    """Return a constraint of integers, and its predicate."""
    return (
        f"be an integer of at least {least}",
        lambda value: _is_integer(value) and value >= least,
    )


def _key(constraint: str, accepts: Callable, **options):
    """Return a key of the comparison file, with what its value must be."""
    return field(metadata={"check": (constraint, accepts)}, **options)


_POSITIVE = ("be distinct numbers above 0", _all(_is_positive))


@dataclass(frozen=True)
class Plan:
    """A comparison: arms, seeds, what is tuned, and how it is judged."""

    # The comparison's folder is named after it.
    name: str = _key("be letters, digits, _ . and -", _is_name)
    # The arm that all others are compared with.
    baseline: str = _key("be an arm's name", _is_name)
    # {name: {key of the leaf: value}}, values as YAML nodes.
    arms: dict = _key(
        "be a mapping of two names or more to overrides of the leaf",
        lambda arms: isinstance(arms, Mapping) and len(arms) > 1,
    )
    # Of the trainings that are reported.
    seeds: list = _key(
        "be distinct integers, at least one", _all(_is_integer, 1)
    )
    # Of the trainings that choose settings.
    tuning_seed: int = _key("be an integer", _is_integer)
    # Values of kd_gradient_ratio tried for each arm but the baseline, and as
    # many of lr for that; the arms take its choice. Empty: nothing is tuned.
    gradient_ratios: list = _key(*_POSITIVE)
    learning_rates: list = _key(*_POSITIVE)
    # The metric whose mean on the validation set chooses.
    tune_on: str = _key(
        f"be one of {', '.join(_METRICS)}", _METRICS.__contains__
    )
    # Trainings at a time; above 1 each has one thread.
    side_by_side: int = _key(*_count(1))
    # {metric: margin} by which the teacher must lead on validation.
    gate: dict = _key(
        f"map some of {', '.join(_METRICS)} to numbers",
        lambda gate: (
            isinstance(gate, Mapping)
            and set(gate) <= set(_METRICS)
            and all(map(_is_finite, gate.values()))
        ),
    )
    # Of intervals.
    confidence: float = _key(
        "be a number between 0 and 1",
        lambda value: _is_finite(value) and 0 < value < 1,
    )
    bootstrap_draws: int = _key(*_count(100))
    # Between the report's classes of input SI-SDR.
    snr_edges_db: list = _key(
        "be ascending numbers",
        lambda edges: _all(_is_finite)(edges) and edges == sorted(edges),
    )
    # {arm: some of seeds}; all others have all. An arm with [] is trained from
    # the tuning seed only and never tested.
    arm_seeds: dict = _key(
        "be a mapping of arms to lists of seeds, perhaps {}",
        lambda value: isinstance(value, Mapping),
        default_factory=dict,
    )

    def __post_init__(self):
        for entry in fields(self):
            constraint, accepts = entry.metadata["check"]
            require(entry.name, constraint, getattr(self, entry.name), accepts)
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
        count = len(self.gradient_ratios)
        require(
            "learning_rates",
            f"be as many as gradient_ratios, {count}, so that no arm is tuned "
            "more than another",
            self.learning_rates, lambda rates: len(rates) == count,
        )  # fmt: skip
        if self.learning_rates:
            require(
                f"the baseline {self.baseline}",
                "not set lr while learning_rates are tried for it",
                list(self.arms[self.baseline]), lambda keys: "lr" not in keys,
            )  # fmt: skip

    def _require_arm_seeds(self):
        # The baseline needs all seeds: the others are paired with it by seed.
        for arm, own in self.arm_seeds.items():
            require(
                "arm_seeds",
                "name arms other than the baseline, which has all seeds: "
                f"{', '.join(self.others)}",
                arm, self.others.__contains__,
            )  # fmt: skip
            require(
                f"arm_seeds of {arm}",
                f"be some of the seeds {self.seeds}, or []",
                own,
                _all(lambda seed: _is_integer(seed) and seed in self.seeds),
            )

    @property
    def others(self) -> list:
        """The names of all arms but the baseline."""
        return [arm for arm in self.arms if arm != self.baseline]

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
