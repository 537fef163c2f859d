"""What is speech and what is padding in a batch of waveforms."""

import torch
from torch import Tensor


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
