"""Checks the settings of a comparison's arms before anything is trained."""

import tempfile
from itertools import combinations
from pathlib import Path

from speechbrain_dfkd.command_line import DFKD_KEYS, read_command
from speechbrain_dfkd.comparison.base_command import BaseCommand
from speechbrain_dfkd.comparison.plan import TUNABLE, Plan
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.losses import NoDistillation
from speechbrain_dfkd.run_checks import check_objects
from speechbrain_dfkd.run_settings import (
    TOLERATED,
    decisive_settings,
    differing,
)
from speechbrain_dfkd.student_initialisation import start_from_teacher
from speechbrain_dfkd.teacher_cache import check_cache
from speechbrain_dfkd.teacher_need import needs_teacher

# A resume may change these, a comparison may not.
_ALSO_DECISIVE = ("number_of_epochs", "teacher_ckpt", "teacher_overrides")
# Each job has its own.
_OF_A_JOB = ("seed", "__set_seed")


def check_arms(plan: Plan, base: BaseCommand, recipe_folder: Path) -> dict:
    """Compose the settings of every arm and make its objects once.

    Arguments
    ---------
    plan : Plan
        The comparison.
    base : BaseCommand
        What holds for all arms.
    recipe_folder : Path
        Holds the data set's settings.

    Returns
    -------
    dict
        ``{arm: settings}``, all that can change its scores but seed and what
        is tuned.

    Raises
    ------
    UserError
        Names the arm that cannot be used, or two that are the same.
    """
    settings = {}
    for arm, overrides in plan.arms.items():
        try:
            settings[arm] = _settings_of(base, overrides, recipe_folder)
        except UserError as error:
            raise UserError(f"arm {arm}: {error}") from error
    for one, other in combinations(settings, 2):
        if settings[one] == settings[other]:
            raise UserError(
                f"arms must differ from each other, got the same settings for "
                f"{one} and {other}; drop one of them"
            )
    return settings


def _settings_of(base, overrides, recipe_folder):
    # Making the objects makes the folders that they write to.
    with tempfile.TemporaryDirectory() as folder:
        argv = base.argv(overrides, {"output_folder": folder})
        command = read_command(argv, recipe_folder, DFKD_KEYS, announce=False)
        _refuse_misfits(command.configuration.build())
    configuration = command.configuration
    plain = configuration.settings()
    settings = decisive_settings(configuration)
    settings.update({key: plain[key] for key in _ALSO_DECISIVE})
    return {k: v for k, v in settings.items() if k not in _OF_A_JOB}


def _refuse_misfits(hparams):
    """Refuse now what a job of the arm would be refused for hours later."""
    check_objects(hparams)
    if hparams["kd_weight"] > 0:
        _require_distillation(hparams)
    needs_teacher(hparams)
    check_cache(hparams)
    start_from_teacher(hparams)


def _require_distillation(hparams):
    # No weight gives its gradient, which is zero, a ratio to another.
    if isinstance(hparams["kd"]["loss"], NoDistillation):
        raise UserError(
            f"kd_weight must be 0 where nothing is distilled, got "
            f"{hparams['kd_weight']} with the objective "
            f"{hparams['kd']['name']}; let the arm set kd_weight: 0 in place "
            f"of kd"
        )


def held_settings(settings: dict, plan: Plan) -> dict:
    """Return what is the same in all arms, in brief: no nested values.

    Arguments
    ---------
    settings : dict
        As ``check_arms`` returns it.
    plan : Plan
        What it tunes is not among them.
    """
    tuned = TUNABLE if plan.learning_rates else ()
    # A file of Asteroid's says in place of the setting which network the
    # teacher is, but an arm that needs no teacher does not look at it.
    taught = [
        one
        for one in settings.values()
        if one["kd_weight"] or one["init_from_teacher"]
    ]
    teacher = [*taught, *settings.values()][0]["teacher"]
    first, *others = ({**one, "teacher": teacher} for one in settings.values())
    brief = {
        key: value.get("name") if isinstance(value, dict) else value
        for key, value in first.items()
        if key not in tuned and all(other.get(key) == value for other in others)
    }
    return {
        key: value
        for key, value in brief.items()
        if value is not None and not isinstance(value, list)
    }


def refuse_changed_arms(before: dict, now: dict, finished: set) -> None:
    """Keep jobs of other settings out of a comparison that goes on.

    Arguments
    ---------
    before, now : dict
        ``{arm: settings}`` when the comparison was run last, and now.
    finished : set of str
        The arms that have results already.

    Raises
    ------
    UserError
        Names the settings that differ.
    """
    changes = [
        f"{arm}: {line}"
        for arm in sorted(finished & before.keys() & now.keys())
        for line in differing(before[arm], now[arm], TOLERATED)
    ]
    if changes:
        raise UserError(
            f"an arm must keep its settings once it has results, got others:\n"
            f"{listing(changes)}\ngive them back, call the arm or the "
            f"comparison by another name, or delete the arm's results"
        )
