"""What a comparison file asks for, checked."""

import difflib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.comparison.plan_checks import (
    CONSTRAINTS,
    require,
    require_arm,
    require_arm_seeds,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings_tree import (
    dump_tree,
    one_line,
    plain_settings,
    read_tree,
)

TUNABLE = ("kd_gradient_ratio", "lr")


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
        for key, (constraint, keeps) in CONSTRAINTS.items():
            require(key, constraint, getattr(self, key), keeps)
        for arm, overrides in self.arms.items():
            require_arm(arm, overrides)
        require(
            "baseline", f"be one of the arms {sorted(self.arms)}",
            self.baseline, self.arms.__contains__,
        )  # fmt: skip
        others = [arm for arm in self.arms if arm != self.baseline]
        require_arm_seeds(self.arm_seeds, others, self.seeds)
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
    """Read a comparison file.

    Arguments
    ---------
    path : str or Path
        YAML with the keys of ``Plan``, such as
        ``hparams/comparisons/objectives.yaml``.

    Raises
    ------
    UserError
        Names what cannot be used.
    """
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
