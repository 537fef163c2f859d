"""An objective on features that networks of any two families share."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.kd_loss import KDLoss, sample_mask, widened
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import full_precision

# Mean square of a feature vector below which it has no direction.
_SILENCE = 1e-8


class FrameSimilarity(KDLoss):
    """Which frames of an utterance resemble each other, in both networks.

    After the frame-level similarity loss of Cheng et al., "Cross-layer
    Similarity Knowledge Distillation for Speech Enhancement" (CLSKD),
    Interspeech 2022. With ``f[t]`` all channels and frequencies of a feature
    in frame t, as a unit vector::

        G[t, u] = <f[t], f[u]>
        L = sum over pairs of features of
            mean over t, u of (G_student[t, u] - G_teacher[t, u])^2

    G has as many rows as the utterance has frames whatever the number of
    channels, so that no projection has to be learned. Deviations: features
    are first averaged over time to a common number of frames, so that
    networks of different frame rates can be compared; pairs of features are
    compared one by one, not fused as in the paper; frames are compared
    within an utterance; the average is over the batch's valid pairs.

    Arguments
    ---------
    student_features, teacher_features : sequence of str
        As many names of either network: the first is compared with the
        first, and so on. Time is a feature's last dimension.
    frame_samples : int
        Length of a common frame in samples; no shorter than the frames of
        either network.

    Shape
    -----
    features : [B, C, T] or [B, C, F, T], with C, F and T of either network

    Example
    -------
    >>> import torch
    >>> loss = FrameSimilarity(["rnn"], ["mask"], frame_samples=100)
    >>> wav = torch.zeros(1, 200)  # two common frames
    >>> alike = Enhanced(wav, {"rnn": torch.ones(1, 3, 4)})
    >>> apart = Enhanced(wav, {"mask": torch.eye(2)[None]})
    >>> value, terms = loss(alike, apart, wav, torch.ones(1))
    >>> round(value.item(), 3)  # G is [1 1; 1 1] and [1 0; 0 1]
    0.5
    """

    def __init__(
        self,
        student_features: Sequence[str],
        teacher_features: Sequence[str],
        frame_samples: int = 400,
    ):
        super().__init__()
        ours, theirs = list(student_features), list(teacher_features)
        if not ours or len(ours) != len(theirs):
            raise UserError(
                f"student_features and teacher_features must be pairs of "
                f"names, got {ours} and {theirs}; name as many of both"
            )
        if frame_samples < 1:
            raise UserError(
                f"frame_samples must be at least 1, got {frame_samples}; try 400"
            )
        self.student_features = tuple(ours)
        self.teacher_features = tuple(theirs)
        self.frame_samples = frame_samples

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and a term a pair, ``l_`` and the student's name."""
        n_frames = max(clean.shape[1] // self.frame_samples, 1)
        inside = sample_mask(lengths, n_frames)
        pairs = inside[:, :, None] & inside[:, None]
        losses = {}
        names = zip(self.student_features, self.teacher_features, strict=True)
        for ours, theirs in names:
            own, target = student.features[ours], teacher.features[theirs]
            own = frame_similarity(own, lengths, n_frames)
            target = frame_similarity(target.detach(), lengths, n_frames)
            error = (own - target).square().masked_fill(~pairs, 0.0)
            losses[f"l_{ours}"] = error.sum() / pairs.sum().clamp_min(1)
        terms = {name: loss.detach() for name, loss in losses.items()}
        return sum(losses.values()), terms


def frame_similarity(feature: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
    """Return the cosine of all common frames of each utterance, 0 beyond it.

    Shape
    -----
    feature : [B, ..., T]
    output : [B, n_frames, n_frames]
    """
    n_own = feature.shape[-1]
    inside = sample_mask(lengths, n_own)
    with full_precision(feature.device):
        flat = widened(feature).flatten(1, -2)
        flat = flat.masked_fill(~inside[:, None], 0.0)
        # At a lower frame rate than the common one, its frames are repeated.
        common = F.adaptive_avg_pool1d(flat, n_frames)
        power = common.square().mean(1, keepdim=True)
        unit = common / (flat.shape[1] * (power + _SILENCE)).sqrt()
        return unit.transpose(1, 2) @ unit
