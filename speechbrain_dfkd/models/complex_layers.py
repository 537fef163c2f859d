"""Complex layers on stacked channels ``[B, 2C, F, T]``, real parts first.

No complex tensor appears, so the layers work in half precision and on every
device.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.models.complex_convolution import ComplexConv2d


class ComplexPReLU(nn.Module):
    """PReLU with one slope for real parts and one for imaginary parts.

    Shape
    -----
    x : [B, 2C, F, T]
    output : [B, 2C, F, T]

    Example
    -------
    >>> act = ComplexPReLU()
    >>> act(torch.tensor([4.0, -4.0]).view(1, 2, 1, 1)).flatten().tolist()
    [4.0, -1.0]
    """

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the slopes to the negative values."""
        slopes = self.weight.repeat_interleave(x.shape[1] // 2)
        return F.prelu(x, slopes.to(x.dtype))


class ComplexBlock(nn.Module):
    """Complex convolution, batch normalisation and PReLU.

    Arguments
    ---------
    in_channels, out_channels, kernel_size, time_padding, transposed
        As in ``ComplexConv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        time_padding: str,
        transposed: bool = False,
    ):
        super().__init__()
        # The normalisation would cancel a bias.
        self.conv = ComplexConv2d(
            in_channels, out_channels, kernel_size, time_padding, transposed
        )
        self.norm = nn.BatchNorm2d(2 * out_channels)
        self.activation = ComplexPReLU()

    def forward(self, *stacked: Tensor) -> Tensor:
        """Apply the three to inputs that are joined along channels."""
        return self.activation(self.norm(self.conv(*stacked)))
