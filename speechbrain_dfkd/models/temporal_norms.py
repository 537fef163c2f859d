"""The two layer norms of Conv-TasNet, over channels and time together."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-8


class GlobalLayerNorm(nn.GroupNorm):
    """Normalise by the mean and variance of all channels and frames.

    Global layer norm (gLN) of Luo and Mesgarani 2019, arXiv 1809.07454. It
    looks at the whole utterance. Computed in float32 under autocast too.

    Arguments
    ---------
    channels : int
        Number of channels; each has its own gain and bias.

    Shape
    -----
    x : [B, channels, T]
    output : [B, channels, T]

    Example
    -------
    >>> norm = GlobalLayerNorm(2)
    >>> norm(torch.tensor([[[1.0, 3.0], [3.0, 1.0]]]))  # mean 2, deviation 1
    tensor([[[-1.,  1.],
             [ 1., -1.]]], grad_fn=<NativeGroupNormBackward0>)
    """

    def __init__(self, channels: int):
        # One group is all channels: PyTorch has this norm as one kernel.
        super().__init__(1, channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        return F.group_norm(x.float(), 1, self.weight, self.bias, self.eps)


class CumulativeLayerNorm(nn.Module):
    """Normalise by the mean and variance of all frames up to each one.

    Cumulative layer norm (cLN) of Luo and Mesgarani 2019, arXiv 1809.07454:
    frame ``k`` is normalised over the channels and over frames 0 to ``k``, so
    that it depends on no later one. Asteroid calls it cgLN, and another norm
    cLN. Computed in float32 under autocast too.

    Arguments
    ---------
    channels : int
        Number of channels; each has its own gain and bias.

    Shape
    -----
    x : [B, channels, T]
    output : [B, channels, T]

    Example
    -------
    >>> norm = CumulativeLayerNorm(2)
    >>> x = torch.tensor([[[1.0, 6.0], [3.0, 6.0]]])
    >>> first = norm(x)[0, :, 0].tolist()  # of 1 and 3: mean 2, deviation 1
    >>> [round(value, 3) for value in first]
    [-1.0, 1.0]
    >>> second = norm(x)[0, 0, 1]  # of 1, 3, 6, 6: mean 4, variance 4.5
    >>> round(second.item() ** 2, 3)  # 4 / 4.5
    0.889
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        x = x.float()
        frames = torch.arange(1, x.shape[2] + 1, device=x.device)
        mean = x.mean(1, keepdim=True).cumsum(2) / frames
        power = x.square().mean(1, keepdim=True).cumsum(2) / frames
        # Rounding can push the variance of a constant below zero.
        variance = (power - mean.square()).clamp_min(0)
        normed = (x - mean) * (variance + EPSILON).rsqrt()
        return torch.addcmul(self.bias[:, None], normed, self.weight[:, None])
