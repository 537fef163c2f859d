"""The control of every distillation: the clean signal in the teacher's place."""

from torch import Tensor

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.kd_loss import KDLoss
from speechbrain_dfkd.models.enhanced import Enhanced


class CleanAsTeacher(KDLoss):
    """Any objective on outputs, with the clean waveform for the teacher's.

    It tells distillation from a mere extra loss to the clean signal: what a
    student gains with this too, it does not owe to its teacher. No teacher
    is trained, loaded or run.

    Arguments
    ---------
    objective : KDLoss
        What to compute.

    Raises
    ------
    UserError
        If the objective asks for features of the teacher, of which a clean
        waveform has none.

    Example
    -------
    >>> import torch
    >>> from speechbrain_dfkd.losses import WaveformResponse
    >>> loss = CleanAsTeacher(WaveformResponse())
    >>> loss.needs_teacher
    False
    >>> clean = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> student = Enhanced(clean, {})
    >>> round(loss(student, None, clean, torch.ones(1))[0].item())
    -80
    """

    needs_teacher = False

    def __init__(self, objective: KDLoss):
        super().__init__()
        if objective.teacher_features:
            raise UserError(
                f"clean_as_teacher must be False for an objective on the "
                f"teacher's features, got True with "
                f"{type(objective).__name__}; choose an objective on outputs"
            )
        self.objective = objective
        self.student_features = objective.student_features

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced | None,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the objective does; see ``KDLoss``."""
        return self.objective(student, Enhanced(clean, {}), clean, lengths)


def choose_target(objective: KDLoss, clean_as_teacher: bool) -> KDLoss:
    """Return the objective, or its control: the switch of a leaf.

    Arguments
    ---------
    objective : KDLoss
        What to compute.
    clean_as_teacher : bool
        Whether the clean signal takes the teacher's place.

    Raises
    ------
    UserError
        As ``CleanAsTeacher`` does.
    """
    return CleanAsTeacher(objective) if clean_as_teacher else objective
