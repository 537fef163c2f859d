"""What an objective of distillation is, and over which samples it averages."""

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.models.base import Enhanced


def sample_mask(lengths: Tensor, n_samples: int) -> Tensor:
    """Tell which samples lie inside each utterance.

    It rounds as ``STFT.frame_mask`` does.

    Arguments
    ---------
    lengths : Tensor
        SpeechBrain's relative lengths, in (0, 1].
    n_samples : int
        Length of the padded waveforms in samples.

    Returns
    -------
    Tensor
        Boolean, True for the samples to count.

    Shape
    -----
    lengths : [B]
    output : [B, n_samples]

    Example
    -------
    >>> sample_mask(torch.tensor([0.5, 1.0]), 4).int()
    tensor([[1, 1, 0, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    places = torch.arange(n_samples, device=lengths.device)
    return places < (lengths * n_samples).round()[:, None]


def check_same_shape(estimate: Tensor, target: Tensor, lengths: Tensor):
    """Refuse what would broadcast to a plausible, wrong number.

    Arguments
    ---------
    estimate : Tensor
        Waveforms, [B, L].
    target : Tensor
        The waveforms that they are compared with, [B, L].
    lengths : Tensor
        Relative lengths, [B].

    Raises
    ------
    ValueError
        If the shapes differ from these.
    """
    if estimate.ndim != 2 or estimate.shape != target.shape:
        raise ValueError(
            "estimate and target must both be [B, L], got "
            f"{list(estimate.shape)} and {list(target.shape)}; "
            "squeeze channels and cut both to one length"
        )
    if lengths.shape != estimate.shape[:1]:
        raise ValueError(
            f"lengths must be [B] = {list(estimate.shape[:1])}, "
            f"got {list(lengths.shape)}; give one relative length per item"
        )


class KDLoss(nn.Module):
    """The contract of knowledge-distillation objectives.

    An objective is called with what student and teacher made of the same
    input, and sees no Brain. Three attributes of its class or instance say
    what it must be given.

    Attributes
    ----------
    needs_teacher : bool
        False: ``teacher`` is not looked at and may be None, so that none is
        trained, loaded or run.
    student_features, teacher_features : sequence of str
        Names of the features that the networks are asked for; they lie in
        ``student.features`` and ``teacher.features``.

    Example
    -------
    >>> class MeanError(KDLoss):
    ...     def forward(self, student, teacher, clean, lengths):
    ...         error = (student.wav - teacher.wav).abs().mean()
    ...         return error, {"l_mean": error.detach()}
    >>> MeanError().needs_teacher, MeanError().teacher_features
    (True, ())
    """

    needs_teacher = True
    student_features = ()
    teacher_features = ()

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and what to log of it.

        Arguments
        ---------
        student : Enhanced
            The student's output.
        teacher : Enhanced
            The teacher's output for the same input; it gets no gradient.
        clean : Tensor
            Clean waveforms.
        lengths : Tensor
            SpeechBrain's relative lengths, in (0, 1].

        Returns
        -------
        loss : Tensor
            A scalar, in float32.
        terms : dict of str to Tensor
            Detached: scalars, and histograms over the bins of a spectrum.

        Shape
        -----
        student.wav, teacher.wav, clean : [B, L]
        lengths : [B]
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define forward; see KDLoss"
        )


class NoDistillation(KDLoss):
    """Zero: the same student without a teacher, as with ``kd_weight`` 0.

    Example
    -------
    >>> import torch
    >>> student = Enhanced(torch.ones(1, 4), {})
    >>> NoDistillation()(student, None, torch.ones(1, 4), torch.ones(1))
    (tensor(0.), {})
    """

    needs_teacher = False

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced | None,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return zero and nothing to log; arguments as in ``KDLoss``."""
        return student.wav.new_zeros(()), {}


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
