"""Bands of a spectrum, patches of them, and means over patches."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Spectrum(NamedTuple):
    """A complex spectrum with its magnitude, which is computed once.

    Arguments
    ---------
    spec : Tensor
        Complex, [B, F, T].
    mag : Tensor
        Its magnitude, [B, F, T].
    """

    spec: Tensor
    mag: Tensor


class Band(NamedTuple):
    """Some bins of each frame, and how their error is measured.

    Arguments
    ---------
    mask : Tensor
        1 in the bins of the band and 0 elsewhere, [B, F, T]; B and T may be
        1. A product with it takes a third of the time of a selection.
    error : callable
        Maps (what ``bin_terms`` returned, mask, patch_bins) to the error of
        each patch, [B, P, T].
    """

    mask: Tensor
    error: Callable


def patch_sum(values: Tensor, mask: Tensor, patch_bins: int) -> Tensor:
    """Sum over the bins of a band that lie in each patch.

    Not by differences of running sums, which would lose the weaker bins.

    Arguments
    ---------
    values : Tensor
        One for each bin.
    mask : Tensor
        1 in the bins of the band and 0 elsewhere.
    patch_bins : int
        Height of a patch; the topmost may be cut by the spectrum's end.

    Returns
    -------
    Tensor
        One sum for each patch.

    Shape
    -----
    values, mask : [B, F, T], broadcast
    output : [B, P, T], P = ceil(F / patch_bins)

    Example
    -------
    >>> values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).reshape(1, 5, 1)
    >>> band = (values > 1).float()
    >>> patch_sum(values, band, patch_bins=2).flatten().tolist()
    [2.0, 12.0, 16.0]
    """
    kept = values * mask
    n_bins = kept.shape[1]
    topmost = n_bins % patch_bins
    # Padding to whole patches would copy all bins to fill up a few.
    whole = kept[:, : n_bins - topmost].unflatten(1, (-1, patch_bins)).sum(2)
    if not topmost:
        return whole
    rest = kept[:, n_bins - topmost :].sum(1, keepdim=True)
    return torch.cat([whole, rest], dim=1)


def patch_mean(values: Tensor, mask: Tensor, patch_bins: int) -> Tensor:
    """Mean over the band's own bins of each patch; as ``patch_sum``."""
    count = patch_sum(mask, mask, patch_bins).clamp_min(1)
    return patch_sum(values, mask, patch_bins) / count


def weighted_mean(errors: Tensor, weights: Tensor) -> Tensor:
    """Return sum(weights * errors) / sum(weights), 0 without any weight.

    Errors of weight 0 are not looked at, even if they are not finite.

    Arguments
    ---------
    errors : Tensor
        Of the patches, [B, P, T].
    weights : Tensor
        How much each counts, [B, P or 1, T].

    Example
    -------
    >>> weighted_mean(torch.tensor([1.0, 4.0, 9.0]), torch.tensor([1, 3, 0]))
    tensor(3.2500)
    """
    weights = weights.expand_as(errors)
    errors = errors.masked_fill(weights == 0, 0.0)
    return (weights * errors).sum() / weights.sum().clamp_min(1e-20)
