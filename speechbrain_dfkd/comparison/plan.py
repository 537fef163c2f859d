"""What a comparison file asks for, checked."""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError, is_number, require
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


def _require(
    name: str, fulfilled: bool, constraint: str, value: object
) -> None:
    advice = "correct the comparison file"
    require(name, fulfilled, constraint, repr(value), advice)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.-]+", value))


def _is_finite(value: object) -> bool:
    return is_number(value) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_distinct(values: object, accepts: Callable, least: int = 0) -> bool:
    return (
        isinstance(values, list)
        and all(map(accepts, values))
        and len({*values}) == len(values) >= least
    )


_NAME = ("letters, digits, _ . and -", _is_name)
_POSITIVE = (
    "distinct numbers above 0",
    lambda of: _are_distinct(of, lambda v: _is_finite(v) and v > 0),
)


def _key(constraint: str, accepts: Callable, **options: object) -> Field:
    """Return a key of the comparison file, with what its value must be."""
    return field(metadata={"check": (constraint, accepts)}, **options)


def _integer(least: int) -> Field:
    constraint = f"an integer of at least {least}"
    return _key(constraint, lambda v: _is_integer(v) and v >= least)


@dataclass(frozen=True)
class _Checked:
    """Keys of a comparison file, each with a check."""

    ending = ""

    def __post_init__(self):
        for entry in fields(self):
            constraint, accepts = entry.metadata["check"]
            value = getattr(self, entry.name)
            name = f"{entry.name}{self.ending}"
            _require(name, accepts(value), constraint, value)


@dataclass(frozen=True)
class Cluster(_Checked):
    """Where jobs run; hparams/comparisons/objectives.yaml explains its keys."""

    ending = " of cluster"
    executor: str = _key("slurm or local", ("slurm", "local").__contains__)
    minutes: int = _integer(1)
    cores: int = _integer(1)
    cards: int = _key("0 or 1", lambda v: _is_integer(v) and v in (0, 1))
    # Long options of sbatch: partition, mem, account ...
    options: dict = _key(
        "a mapping of names to words or numbers, perhaps {}",
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(v, str | int | float) for v in value.values())
        ),
        default_factory=dict,
    )


@dataclass(frozen=True)
class Plan(_Checked):
    """A comparison; hparams/comparisons/objectives.yaml explains its keys."""

    name: str = _key(*_NAME)
    baseline: str = _key(*_NAME)
    # {name: {key of the leaf: value}}, values as YAML nodes.
    arms: dict = _key(
        "a mapping of two names or more to overrides of the leaf",
        lambda arms: isinstance(arms, Mapping) and len(arms) > 1,
    )
    seeds: list = _key(
        "distinct integers, at least one",
        lambda seeds: _are_distinct(seeds, _is_integer, 1),
    )
    tuning_seed: int = _key("an integer", _is_integer)
    gradient_ratios: list = _key(*_POSITIVE)
    learning_rates: list = _key(*_POSITIVE)
    tune_on: str = _key(f"one of {', '.join(_METRICS)}", _METRICS.__contains__)
    side_by_side: int = _integer(1)
    gate: dict = _key(
        f"a mapping of some of {', '.join(_METRICS)} to numbers",
        lambda gate: (
            isinstance(gate, Mapping)
            and set(gate) <= set(_METRICS)
            and all(map(_is_finite, gate.values()))
        ),
    )
    confidence: float = _key(
        "a number between 0 and 1", lambda v: _is_finite(v) and 0 < v < 1
    )
    bootstrap_draws: int = _integer(100)
    snr_edges_db: list = _key(
        "ascending numbers",
        lambda of: _are_distinct(of, _is_finite) and of == sorted(of),
    )
    arm_seeds: dict = _key(
        "a mapping of arms to lists of seeds, perhaps {}",
        lambda value: isinstance(value, Mapping),
        default_factory=dict,
    )
    cluster: Cluster | None = _key(
        "null, for this machine, or a mapping",
        lambda value: value is None or isinstance(value, Cluster),
        default=None,
    )

    def __post_init__(self):
        super().__post_init__()
        for arm, overrides in self.arms.items():
            _require_arm(arm, overrides)
        baseline, seeds = self.baseline, self.seeds
        among = f"one of the arms {sorted(self.arms)}"
        _require("baseline", baseline in self.arms, among, baseline)
        # The baseline needs all seeds: the others are paired with it by seed.
        others = (
            f"of arms other than the baseline, which has all seeds: "
            f"{', '.join(self.others)}"
        )
        some = f"some of the seeds {seeds}, or []"
        for arm, own in self.arm_seeds.items():
            _require("arm_seeds", arm in self.others, others, arm)
            fit = _are_distinct(own, lambda v: _is_integer(v) and v in seeds)
            _require(f"arm_seeds of {arm}", fit, some, own)
        unseen = "none of seeds, whose scores are reported"
        tuning_seed, rates = self.tuning_seed, self.learning_rates
        _require("tuning_seed", tuning_seed not in seeds, unseen, tuning_seed)
        count = len(self.gradient_ratios)
        as_many = (
            f"as many as gradient_ratios, {count}, so that no arm is tuned "
            f"more than another"
        )
        _require("learning_rates", len(rates) == count, as_many, rates)
        keys = list(self.arms[baseline])
        without = "without lr while learning_rates are tried for it"
        fit = not rates or "lr" not in keys
        _require(f"the baseline {baseline}", fit, without, keys)

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


def _require_arm(arm: str, overrides: Mapping) -> None:
    """Refuse a name or a change that no arm can have."""
    _require("an arm's name", _is_name(arm), _NAME[0], arm)
    mapping = "a mapping of keys of the leaf to values, perhaps {}"
    _require(f"arm {arm}", isinstance(overrides, Mapping), mapping, overrides)
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


def _require_keys(kind: type, tree: Mapping, place: object) -> None:
    """Refuse keys that are unknown or missing."""
    needed = {
        key.name: key.default is MISSING and key.default_factory is MISSING
        for key in fields(kind)
    }
    unknown = [key for key in tree if key not in needed]
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), needed, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {[*needed]}"
        raise UserError(f"unknown key '{unknown[0]}' in {place}; {hint}")
    missing = [key for key in needed if needed[key] and key not in tree]
    if missing:
        raise UserError(
            f"{place} must describe a comparison, got none of the keys "
            f"{', '.join(missing)}; start from "
            f"hparams/comparisons/objectives.yaml"
        )


def read_plan(path: Path) -> Plan:
    """Read a comparison file, YAML with the keys of ``Plan``."""
    tree = read_tree(path)
    _require_keys(Plan, tree, path)
    # By way of JSON: the numbers of a YAML tree remember how they were written.
    values = json.loads(json.dumps(plain_settings(dump_tree(tree))))
    cluster = values.get("cluster")
    try:
        if isinstance(cluster, dict):
            _require_keys(Cluster, cluster, "cluster")
            values["cluster"] = Cluster(**cluster)
        return Plan(**{**values, "arms": tree["arms"]})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
