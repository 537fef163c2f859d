"""Tells whether a training needs a teacher, and for what."""

from speechbrain_dfkd.errors import UserError


def needs_teacher(hparams: dict) -> bool:
    """Tell whether a training needs a teacher at all.

    It does where the objective does and has a weight, or where the student
    starts from it; any other run neither trains nor loads one.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.

    Raises
    ------
    UserError
        Where the objective asks for a feature that a network does not have.
    """
    objective = hparams["modules"]["kd_loss"]
    for role in ("student", "teacher"):
        asked = getattr(objective, f"{role}_features")
        # A network of the user's own need not list its features.
        known = getattr(hparams[role]["model"], "feature_names", asked)
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise UserError(
                f"{role}_features must be among {', '.join(known)}, got "
                f"{', '.join(unknown)}; pass --kd '!include:kd/FILE.yaml "
                f"{{{role}_features: [{known[-1]}]}}'"
            )
    return follows_teacher(hparams) or hparams["init_from_teacher"]


def follows_teacher(hparams: dict) -> bool:
    """Tell whether a training follows the outputs of a teacher.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.
    """
    objective = hparams["modules"]["kd_loss"]
    return hparams["kd_weight"] > 0 and objective.needs_teacher
