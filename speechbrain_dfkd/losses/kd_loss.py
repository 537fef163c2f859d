"""What an objective of distillation is, and over which samples it averages."""

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import require
from speechbrain_dfkd.models.base import Enhanced


def check_share(name: str, value: float, usual: float, with_zero: bool = True):
    """Refuse what is not in [0, 1], or in (0, 1]."""
    fulfilled = 0 <= value <= 1 and (with_zero or value > 0)
    interval = "in [0, 1]" if with_zero else "in (0, 1]"
    require(name, fulfilled, interval, value, f"{usual} is usual")


def widened(x: Tensor) -> Tensor:
    """Return at least float32: half precision cannot hold eps or squares."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def sample_mask(lengths: Tensor, n_samples: int) -> Tensor:
    """Tell what is inside relative lengths [B]; as ``STFT.frame_mask``."""
    places = torch.arange(n_samples, device=lengths.device)
    return places < (lengths * n_samples).round()[:, None]


def check_same_shape(estimate: Tensor, target: Tensor, lengths: Tensor) -> None:
    """Refuse what would broadcast to a plausible, wrong number."""
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
    input. Two attributes of its class or instance say what it must be given.

    Attributes
    ----------
    student_features, teacher_features : sequence of str
        Names of the features that the networks are asked for; they lie in
        ``student.features`` and ``teacher.features``.

    Example
    -------
    >>> class MeanError(KDLoss):
    ...     def forward(self, student, teacher, clean, lengths):
    ...         error = (student.wav - teacher.wav).abs().mean()
    ...         return error, {"l_mean": error.detach()}
    >>> MeanError().teacher_features
    ()
    """

    student_features = ()
    teacher_features = ()

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a scalar in float32, and the terms to log.

        These are detached: scalars, and histograms over a spectrum's bins.

        Arguments
        ---------
        student, teacher : Enhanced
            Their outputs for the same input; the teacher gets no gradient.
        clean : Tensor
            Clean waveforms, [B, L] as those of the networks.
        lengths : Tensor
            SpeechBrain's relative lengths [B], in (0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")
