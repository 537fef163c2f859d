"""Where the low band of a frame ends: DFKD's Frequency Adapter.

Source: Yuan et al., "Dynamic Frequency-Adaptive Knowledge Distillation for
Speech Enhancement", ICASSP 2025, arXiv 2502.04711; details from the loss file
that Kim and Choi published with DISPatch, arXiv 2509.15922. The marks say how
sure a step is: [known] two independent sources state it, [single] only the
DISPatch file does, [inferred] it is a choice made here.
"""

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError


class FrequencyAdapter(nn.Module):
    """Finds the bin at which the teacher's spectrum rises most steeply.

    For each frame, with ``T`` the teacher's spectrum::

        E[f] = max over k <= f of |T[k]|         envelope   [single]
        d[f] = (E[f + 1] - E[f]) / (E[f] + eps)  slope      [known],
                                  relative to the level     [single]
        m    = the first f at which d is largest crossover  [known]

    There is one crossover per frame, without smoothing and without gradient
    [known]. A frame without any energy has crossover 0 [inferred].

    Arguments
    ---------
    eps : float
        Guards the division where the envelope is zero; far below the level of
        any signal, so that the crossover does not depend on it [inferred].

    Raises
    ------
    UserError
        If ``eps`` is not positive.

    Example
    -------
    >>> adapter = FrequencyAdapter()
    >>> one_frame = torch.tensor([1.0, 2.0, 1.0, 8.0, 9.0])
    >>> # envelope 1 2 2 8 9, slopes 1/1 0/2 6/2 1/8
    >>> adapter(one_frame.reshape(1, 5, 1))
    tensor([[2]])
    """

    def __init__(self, eps: float = 1e-8):
        super().__init__()
        if eps <= 0:
            raise UserError(f"eps must be positive, got {eps}; 1e-8 is usual")
        self.eps = eps

    @torch.no_grad()
    def forward(self, teacher_mag: Tensor) -> Tensor:
        """Return the crossover bin of each frame.

        Arguments
        ---------
        teacher_mag : Tensor
            Magnitudes of the teacher's spectrum, at least 2 bins.

        Returns
        -------
        Tensor
            Bin indices (int64) in [0, F - 2], without gradient.

        Shape
        -----
        teacher_mag : [B, F, T]
        output : [B, T]
        """
        # Half precision cannot hold eps.
        dtype = torch.promote_types(teacher_mag.dtype, torch.float32)
        envelope = teacher_mag.to(dtype).cummax(dim=1).values
        slope = envelope.diff(dim=1) / (envelope[:, :-1] + self.eps)
        return slope.argmax(dim=1)


def band_masks(crossover: Tensor, n_bins: int) -> tuple[Tensor, Tensor]:
    """Split the bins of each frame into a low and a high band.

    low: ``f <= m``, high: ``f >= m``; the crossover ``m`` belongs to both
    [single].

    Arguments
    ---------
    crossover : Tensor
        Bin index of each frame.
    n_bins : int
        Number of frequency bins F.

    Returns
    -------
    low, high : tuple of Tensor
        Boolean, True in the bins of the band.

    Shape
    -----
    crossover : [B, T]
    low, high : [B, F, T]

    Example
    -------
    >>> low, high = band_masks(torch.tensor([[1]]), n_bins=4)
    >>> low.int().flatten().tolist(), high.int().flatten().tolist()
    ([1, 1, 0, 0], [0, 1, 1, 1])
    """
    bins = torch.arange(n_bins, device=crossover.device)[:, None]
    crossover = crossover.unsqueeze(1)
    return bins <= crossover, bins >= crossover
