"""The dilated convolutional block that Conv-TasNet is made of."""

from collections.abc import Callable

from torch import Tensor, nn

from speechbrain_dfkd.models.arguments import check_sizes


class TemporalBlock(nn.Module):
    """One block of the temporal convolutional network of Conv-TasNet.

    Luo and Mesgarani 2019, arXiv 1809.07454, figure 1 (C): a pointwise
    convolution to more channels, a dilated depthwise one, each followed by
    PReLU and a norm, then pointwise convolutions to a residual and to a skip
    output. The last two are one layer here, being one product of matrices.

    Arguments
    ---------
    channels : int
        Channels of the residual path.
    hidden_channels : int
        Channels of the depthwise convolution.
    skip_channels : int
        Channels of the skip path.
    kernel_size : int
        Length of the depthwise kernel in frames, odd.
    dilation : int
        Frames between two of its taps.
    norm : callable
        Makes a norm for a number of channels.
    causal : bool
        Whether the depthwise convolution looks only at earlier frames.

    Shape
    -----
    x : [B, channels, T]
    skips : [B, skip_channels, T]
    output : the same two

    Raises
    ------
    ValueError
        If a size is below 1, or the kernel's even.

    Example
    -------
    >>> import torch
    >>> from speechbrain_dfkd.models.temporal_norms import GlobalLayerNorm
    >>> block = TemporalBlock(2, 8, 3, 3, 4, GlobalLayerNorm)
    >>> x, skips = block(torch.randn(1, 2, 9), torch.zeros(1, 3, 9))
    >>> x.shape, skips.shape
    (torch.Size([1, 2, 9]), torch.Size([1, 3, 9]))
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        skip_channels: int,
        kernel_size: int,
        dilation: int,
        norm: Callable[[int], nn.Module],
        causal: bool = False,
    ):
        super().__init__()
        check_sizes(
            {
                "hidden_channels": hidden_channels,
                "skip_channels": skip_channels,
                "kernel_size": kernel_size,
            }
        )
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, got {kernel_size}; "
                "the published kernel has 3 taps"
            )
        reach = (kernel_size - 1) * dilation
        self.look_ahead_frames = 0 if causal else reach // 2
        self.paths = (channels, skip_channels)
        self.expand = nn.Sequential(
            nn.Conv1d(channels, hidden_channels, 1),
            nn.PReLU(),
            norm(hidden_channels),
        )
        self.depthwise = nn.Conv1d(
            hidden_channels,
            hidden_channels,
            kernel_size,
            padding=reach if causal else reach // 2,
            dilation=dilation,
            groups=hidden_channels,
        )
        self.activation = nn.PReLU()
        self.norm = norm(hidden_channels)
        self.project = nn.Conv1d(hidden_channels, sum(self.paths), 1)

    def forward(self, x: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual path and the sum of the skip paths so far."""
        # One name for all, so that no more than two are held at a time.
        hidden = self.expand(x)
        # Padded on both sides when causal: the frames at the end are too many.
        hidden = self.depthwise(hidden)[..., : x.shape[2]]
        hidden = self.activation(hidden)
        hidden = self.norm(hidden)
        residual, skip = self.project(hidden).split(self.paths, 1)
        return x + residual, skips + skip
