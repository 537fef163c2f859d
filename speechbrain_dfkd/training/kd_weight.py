"""The weight of distillation: its schedule, and one measured by gradients."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from speechbrain.utils import checkpoints
from torch import Tensor

from speechbrain_dfkd.errors import UserError


@checkpoints.register_checkpoint_hooks
@dataclass(eq=False)
class KDSchedule:
    """A weight that rises linearly at the start and ends before the training.

    With the progress p, the share of a training that is done,

        weight(p) = weight * min(1, p / ramp)  if p < stop, else 0.

    Laine and Aila, Temporal Ensembling, ICLR 2017, arXiv 1610.02242, raise the
    weight of a second loss as a Gaussian; the line is [ours]. The stop is the
    early-stopped distillation of Cho and Hariharan, On the Efficacy of
    Knowledge Distillation, ICCV 2019, arXiv 1910.01348.

    With a ratio the weight is to be measured, see ``weight_for_ratio``; a
    checkpoint holds it. A weight of 0 is no distillation, whatever the ratio.

    Example
    -------
    >>> schedule = KDSchedule(weight=2.0, ramp=0.5, stop=0.75)
    >>> [schedule.weight_at(p) for p in (0.0, 0.25, 0.5, 0.75)]
    [0.0, 1.0, 2.0, 0.0]
    """

    weight: float
    ramp: float = 0.0
    stop: float = 1.0
    ratio: float | None = None

    @property
    def is_measured(self) -> bool:
        """Whether the weight is one that a ratio asked for."""
        return self.ratio is not None and self.weight > 0

    @property
    def is_constant(self) -> bool:
        """Whether the weight is the same from beginning to end."""
        return self.weight == 0 or (self.ramp == 0 and self.stop == 1)

    def weight_at(self, progress: float) -> float:
        """Return the weight when a share of the training, in [0, 1), is done."""
        if progress >= self.stop:
            return 0.0
        rising = progress < self.ramp
        return self.weight * progress / self.ramp if rising else self.weight

    @checkpoints.mark_as_saver
    def _save(self, path: Path) -> None:
        Path(path).write_text(repr(self.weight))

    @checkpoints.mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        self.weight = float(Path(path).read_text())


# Below this share of the other gradient, one is lost in float32's rounding.
_RESOLUTION = torch.finfo(torch.float32).eps


def gradient_norms(
    losses: Callable, batches: Iterable, parameters: Sequence[Tensor]
) -> list[float]:
    """Return the norm of the mean gradient of each loss that a batch makes.

    The gradient is averaged over the batches before its norm is taken: a
    training follows it, while what differs from batch to batch averages out.
    """
    total, count = 0.0, 0
    for batch in batches:
        # In a call of its own: a batch's graph is freed before the next one.
        total = total + _gradients(losses(batch), parameters)
        count += 1
    return torch.linalg.vector_norm(total / count, dim=1).tolist()


def _gradients(losses: Iterable, parameters: Sequence[Tensor]) -> Tensor:
    """Return the gradient of each loss as a row, [losses, weights]."""
    rows = []
    for loss in losses:
        gradients = [torch.zeros_like(weight) for weight in parameters]
        if loss.requires_grad:
            gradients = torch.autograd.grad(
                loss, parameters, retain_graph=True, materialize_grads=True
            )
        rows.append(torch.cat([part.flatten().float() for part in gradients]))
    return torch.stack(rows)


def weight_for_ratio(ratio: float, se_norm: float, kd_norm: float) -> float:
    """Return the kd_weight at which gradients have a given ratio of norms.

        kd_weight = ratio * ||grad L_SE|| / ||grad L_KD||,

    so that ||kd_weight * grad L_KD|| is ``ratio`` times ||grad L_SE||, and
    objectives of different scale meet on equal terms. Balancing losses by the
    norms of their gradients is the idea of GradNorm (Chen et al., ICML 2018,
    arXiv 1711.02257), the ratio that of Esser et al., Taming Transformers,
    CVPR 2021, arXiv 2012.09841, Eq. 7. Both follow the gradients of one layer
    throughout a training; here [ours] those of all weights are compared once,
    at the start, and the weight stays a constant that can be reported.

    Example
    -------
    >>> weight_for_ratio(0.5, se_norm=6.0, kd_norm=2.0)
    1.5
    """
    weight = float("inf")
    if kd_norm > _RESOLUTION * se_norm:
        weight = ratio * se_norm / kd_norm
    if 0 < weight < float("inf"):
        return weight
    raise UserError(
        f"kd_gradient_ratio must be null unless both losses have a gradient "
        f"at the student's first weights, got {ratio} where ||grad L_SE|| is "
        f"{se_norm:.3g} and ||grad L_KD|| is {kd_norm:.3g}; pass --kd_weight "
        f"with a number instead (0: no distillation), or let the student "
        f"start elsewhere than at its teacher"
    )
