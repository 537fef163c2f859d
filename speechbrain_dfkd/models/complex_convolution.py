"""Complex convolution over frequency and time in real arithmetic."""

import math

import torch
from torch import Tensor, nn

from speechbrain_dfkd.models.complex_products import OneProduct, ThreeProducts
from speechbrain_dfkd.models.initialisation import uniform_bias, uniform_weight

# From this many weights a tap on, three products of a quarter of the size
# beat a single one: measured on a CPU, forward and backward, on 4 x 2 s.
MIN_WEIGHTS_FOR_THREE_PRODUCTS = 1024


class ComplexConv2d(nn.Module):
    """Complex convolution, or its transpose, over frequency and time.

    ``(Wr + i Wi) * (a + i b)``, of Trabelsi et al., Deep Complex Networks
    (2018), section 3.2. Wide layers use Gauss's three real products,
    ``p = Wr (a + b)``, ``q = (Wi - Wr) a``, ``r = (Wr + Wi) b``, with
    ``p - r`` the real and ``p + q`` the imaginary part; narrow ones a single
    real convolution with the weights ``[[Wr, -Wi], [Wi, Wr]]``.

    The stride is 2 over frequency and 1 over time: F bins become F / 2, or
    2F when transposed.

    Arguments
    ---------
    in_channels, out_channels : int
        Complex channels.
    kernel_size : (int, int)
        Size over frequency (odd) and over time.
    time_padding : str
        "left": as many frames out as in; a frame sees itself and those
        before it, or, when transposed, itself and those after it.
        "none": ``kernel_size[1] - 1`` frames fewer, or more when transposed.
    transposed : bool
        Whether to double the bins instead of halving them.
    bias : bool
        Whether to add a complex bias.

    Shape
    -----
    stacked : any number of [B, 2C, F, T], their C adding up to in_channels
    output : [B, 2 * out_channels, F / 2 or 2F, T']

    Example
    -------
    >>> conv = ComplexConv2d(1, 1, (1, 1))
    >>> conv.weight_real.data.fill_(1), conv.weight_imag.data.fill_(2)
    (tensor([[[[1.]]]]), tensor([[[[2.]]]]))
    >>> x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> conv(x).flatten().tolist()  # (1 + 2i) (3 + 4i) = -5 + 10i
    [-5.0, 10.0]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        time_padding: str = "left",
        transposed: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        # A transposed convolution of PyTorch stores its weights as [in, out].
        shape = (in_channels, out_channels)
        rows, columns = shape if transposed else shape[::-1]
        self.weight_real = uniform_weight(rows, columns, *kernel_size)
        self.weight_imag = uniform_weight(rows, columns, *kernel_size)
        fan_in = columns * math.prod(kernel_size)
        self.bias = uniform_bias(2 * out_channels, fan_in) if bias else None
        three = rows * columns >= MIN_WEIGHTS_FOR_THREE_PRODUCTS
        products = ThreeProducts if three else OneProduct
        late = kernel_size[1] - 1 if time_padding == "left" else 0
        self.product = products(transposed, kernel_size[0] // 2, late)

    def forward(self, *stacked: Tensor) -> Tensor:
        """Convolve the inputs, joined along their complex channels."""
        out = _Convolution.apply(
            self.product, self.weight_real, self.weight_imag, *stacked
        )
        return out if self.bias is None else out + self.bias[:, None, None]


class _Convolution(torch.autograd.Function):
    """Keeps its inputs for backward, and none of the copies made of them.

    Plain autograd would hold the joined, padded and added inputs of every
    layer until backward: half of the memory of a training step.
    """

    @staticmethod
    def forward(ctx, product, weight_real, weight_imag, *stacked):
        ctx.product = product
        ctx.save_for_backward(weight_real, weight_imag, *stacked)
        inputs = product.inputs(stacked)
        weights = product.weights(weight_real, weight_imag)
        return product.combine(
            [
                product.convolve(x, w)
                for x, w in zip(inputs, weights, strict=False)
            ]
        )

    @staticmethod
    def backward(ctx, grad):
        product = ctx.product
        weight_real, weight_imag, *stacked = ctx.saved_tensors
        wanted = any(ctx.needs_input_grad[3:])
        grads = [
            product.convolve_backward(g, x.to(g.dtype), w.to(g.dtype), wanted)
            for g, x, w in zip(
                product.split(grad),
                product.inputs(stacked),
                product.weights(weight_real, weight_imag),
                strict=False,
            )
        ]
        of_inputs, of_weights = zip(*grads, strict=False)
        of_stacked = [None] * len(stacked)
        if wanted:
            of_stacked = product.inputs_backward(of_inputs, stacked)
        return None, *product.weights_backward(*of_weights), *of_stacked
