"""Trains a student to follow a teacher."""

import speechbrain as sb
from speechbrain.utils.distributed import main_process_only

from speechbrain_dfkd.enhancement_brain import EnhancementBrain
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher import CachedTeacher, FrozenTeacher, fingerprint


class DFKDBrain(EnhancementBrain):
    """Trains ``modules["student"]`` on L = L_SE + kd_weight * L_KD.

    L_SE is the supervised loss to the clean waveform and L_KD what
    ``modules["kd_loss"]`` makes of the outputs of student and teacher; with
    ``DFKDLoss`` this is Dynamic Frequency-Adaptive Knowledge Distillation
    (arXiv 2502.04711). The sum and its weight are [inferred]. The teacher
    runs in training only, in evaluation mode and without gradient. It is in
    no optimizer and no checkpoint; a checkpoint holds its fingerprint, and
    training does not resume with another teacher.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        As for ``EnhancementBrain``; ``hparams`` also gives ``kd_weight``.
        ``modules["kd_loss"]`` is a ``KDLoss``.
    teacher : FrozenTeacher or CachedTeacher, optional
        Not run where ``kd_weight`` is 0 or the objective needs none. None:
        the student is trained alone, unless the objective needs no teacher.
    """

    trained = "student"

    def __init__(
        self,
        modules=None,
        opt_class=None,
        hparams=None,
        run_opts=None,
        checkpointer=None,
        teacher: FrozenTeacher | CachedTeacher | None = None,
    ):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        # An attribute, not one of self.modules: those are given to the
        # optimizer, put in training mode and wrapped for several devices.
        self.teacher = teacher.to(self.device) if teacher else None
        # Read now: a module wrapped for several devices hides them.
        objective = self.modules.kd_loss
        self.student_features = objective.student_features
        self.teacher_features = objective.teacher_features
        # A teacher can also be there for the student's first weights alone.
        weighs = self.hparams.kd_weight > 0
        self.follows = (
            weighs and teacher is not None and objective.needs_teacher
        )
        self.distils = self.follows or (weighs and not objective.needs_teacher)
        if checkpointer is not None:
            checkpointer.add_recoverable(
                "teacher_fingerprint",
                fingerprint(teacher.model) if teacher else "none",
                custom_save_hook=_save_fingerprint,
                custom_load_hook=_check_fingerprint,
            )

    def compute_forward(self, batch, stage):
        """Return the ``Enhanced`` of the student and, to train, the teacher."""
        if stage != sb.Stage.TRAIN or not self.distils:
            return super().compute_forward(batch, stage), None
        noisy_wav = batch.to(self.device).noisy_sig.data
        teacher = None
        if self.follows:
            # First: what it needs is freed before the student's graph grows.
            teacher = self.teacher.estimate(batch, self.teacher_features)
        return self.modules.student(noisy_wav, self.student_features), teacher

    def compute_objectives(self, predictions, batch, stage):
        """Return L_SE + kd_weight * L_KD, in evaluation L_SE alone."""
        student, teacher = predictions
        loss = super().compute_objectives(student, batch, stage)
        if stage != sb.Stage.TRAIN or not self.distils:
            return loss
        clean_wav, lengths = batch.clean_sig
        kd_loss, terms = self.modules.kd_loss(
            student, teacher, clean_wav, lengths
        )
        self.terms.append({"l_kd": kd_loss, **terms})
        return loss + self.hparams.kd_weight * kd_loss


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


@main_process_only
def _save_fingerprint(own, path):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(own)


def _check_fingerprint(own, path, end_of_epoch):
    with open(path, encoding="utf-8") as stream:
        saved = stream.read()
    if saved != own:
        raise UserError(
            f"the teacher must stay the same within a training, got "
            f"{own[:12]} where {path} was trained with {saved[:12]}; "
            f"give back that teacher or choose another --output_folder"
        )
