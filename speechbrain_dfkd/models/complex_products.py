"""The real convolutions that a complex convolution is made of, and back.

A product turns stacked inputs and two weights into the inputs and weights of
one or three real convolutions, combines their outputs, and does the reverse
for gradients: ``split`` is the adjoint of ``combine``, and so on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = (2, 1)


class Product:
    """The real convolution that a complex one is made of.

    Arguments
    ---------
    transposed : bool
        Whether it is a transposed convolution.
    freq_pad : int
        Half the kernel over frequency.
    late : int
        Frames of zeros to put before the input, or after it if transposed.
    """

    def __init__(self, transposed, freq_pad, late):
        self.transposed = transposed
        self.late = late
        # A transposed convolution crops what another one would pad.
        self.padding = (freq_pad, late if transposed else 0)
        self.output_padding = (1, 0) if transposed else (0, 0)

    def convolve(self, x, weight):
        """Apply the real convolution."""
        if not self.transposed:
            return F.conv2d(x, weight, None, STRIDE, self.padding)
        return F.conv_transpose2d(
            x, weight, None, STRIDE, self.padding, self.output_padding
        )

    def convolve_backward(self, grad, x, weight, input_wanted):
        """Return the gradients of the input (or None) and of the weight."""
        return torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            None,
            STRIDE,
            self.padding,
            (1, 1),
            self.transposed,
            self.output_padding,
            1,
            (input_wanted, True, False),
        )[:2]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Join along channels and pad in time, in one copy."""
        batch, _, bins, frames = parts[0].shape
        channels = sum(part.shape[1] for part in parts)
        joined = _empty_like(parts[0], channels, frames + self.late)
        at_end = frames if self.transposed else 0
        joined.narrow(3, at_end, self.late).zero_()
        start = 0
        for part in parts:
            self.unpad(joined)[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return joined

    def unpad(self, joined):
        """Return the part of a joined input that is no padding."""
        start = 0 if self.transposed else self.late
        return joined.narrow(3, start, joined.shape[3] - self.late)


class OneProduct(Product):
    """One convolution with the weights ``[[Wr, -Wi], [Wi, Wr]]``."""

    def inputs(self, stacked):
        """Return the inputs of the real convolutions."""
        real, imag = _parts(stacked)
        return (self.join(real + imag),)

    def inputs_backward(self, grads, stacked):
        """Return the gradients of the stacked inputs."""
        real, imag = self.unpad(grads[0]).chunk(2, 1)
        return _restack(real, imag, stacked)

    def weights(self, real, imag):
        """Return the weights of the real convolutions."""
        upper = imag if self.transposed else -imag
        rows = torch.cat((real, upper), 1), torch.cat((-upper, real), 1)
        return (torch.cat(rows),)

    def weights_backward(self, grad):
        """Return the gradients of the real and imaginary weights."""
        (a, b), (c, d) = (row.chunk(2, 1) for row in grad.chunk(2))
        return a + d, (b - c if self.transposed else c - b)

    def combine(self, outputs):
        """Return the stacked output from those of the convolutions."""
        return outputs[0]

    def split(self, grad):
        """Return the gradients of the convolutions' outputs."""
        return (grad,)


class ThreeProducts(Product):
    """Gauss: ``p = Wr (a + b)``, ``q = (Wi - Wr) a``, ``r = (Wr + Wi) b``."""

    def inputs(self, stacked):
        """Return the inputs of the real convolutions."""
        real, imag = (self.join(parts) for parts in _parts(stacked))
        return real + imag, real, imag

    def inputs_backward(self, grads, stacked):
        """Return the gradients of the stacked inputs."""
        p, q, r = (self.unpad(grad) for grad in grads)
        return _restack(p + q, p + r, stacked)

    def weights(self, real, imag):
        """Return the weights of the real convolutions."""
        return real, imag - real, real + imag

    def weights_backward(self, p, q, r):
        """Return the gradients of the real and imaginary weights."""
        return p - q + r, q + r

    def combine(self, outputs):
        """Return the stacked output from those of the convolutions."""
        p, q, r = outputs
        out = _empty_like(p, 2 * p.shape[1], p.shape[3])
        real, imag = out.chunk(2, 1)
        torch.sub(p, r, out=real)
        torch.add(p, q, out=imag)
        return out

    def split(self, grad):
        """Return the gradients of the convolutions' outputs."""
        real, imag = grad.chunk(2, 1)
        return real + imag, imag, -real


def _parts(stacked):
    """Real parts of all inputs, and imaginary parts."""
    return zip(*(x.chunk(2, 1) for x in stacked), strict=True)


def _restack(real, imag, stacked):
    """Undo the join: one [B, 2C, F, T] for each of the inputs."""
    sizes = [x.shape[1] // 2 for x in stacked]
    pairs = zip(real.split(sizes, 1), imag.split(sizes, 1), strict=True)
    return [torch.cat(pair, 1) for pair in pairs]


def _empty_like(x, channels, frames):
    """Channels last, which spares the convolutions a copy of each input."""
    return torch.empty(
        (x.shape[0], channels, x.shape[2], frames),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
