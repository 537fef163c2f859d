"""The ways in which DCCRN applies its mask to a spectrum."""

import torch
from torch import Tensor


def mask_polar(spec: Tensor, mask: Tensor) -> Tensor:
    """Bound the mask's magnitude by tanh, then multiply (mask "E").

    Arguments
    ---------
    spec : Tensor
        Complex spectrum.
    mask : Tensor
        Real and imaginary part of the mask.

    Returns
    -------
    Tensor
        The masked spectrum.

    Shape
    -----
    spec : [B, F, T]
    mask : [B, 2, F, T]
    output : [B, F, T]
    """
    # The small number keeps the root's gradient finite where the mask is 0.
    magnitude = (mask.square().sum(1, keepdim=True) + 1e-12).sqrt()
    return mask_complex(spec, mask * (magnitude.tanh() / magnitude))


def mask_complex(spec: Tensor, mask: Tensor) -> Tensor:
    """Multiply by the mask (mask "C"); arguments as in ``mask_polar``."""
    return spec * torch.complex(mask[:, 0], mask[:, 1])


def mask_parts(spec: Tensor, mask: Tensor) -> Tensor:
    """Scale both parts by themselves (mask "R"); see ``mask_polar``."""
    return torch.complex(spec.real * mask[:, 0], spec.imag * mask[:, 1])


MASKS = {"E": mask_polar, "C": mask_complex, "R": mask_parts}
