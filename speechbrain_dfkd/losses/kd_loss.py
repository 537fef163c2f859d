"""What every objective that distils a teacher declares, and the one without."""

from torch import Tensor, nn

from speechbrain_dfkd.models.enhanced import Enhanced


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
