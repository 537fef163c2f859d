"""Objectives that compare the spectra of student and teacher as a whole."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses.kd_loss import check_share
from speechbrain_dfkd.losses.spectral import (
    Band,
    SpectralLoss,
    Spectrum,
    Split,
    compressed_error,
    patch_mean,
)
from speechbrain_dfkd.stft import STFT


class SpectrumResponse(SpectralLoss):
    """Squared error of compressed spectra, of magnitudes and complex values.

    Braun and Tashev, "A consolidated view of loss functions for supervised
    deep learning-based speech enhancement", TSP 2021, arXiv 2009.12286, with
    the teacher for a target. The mean over the valid frames and all bins of
    ``compressed_error``; with ``compression`` 1 and ``complex_share`` 0 it is
    the squared error of magnitudes.

    Arguments
    ---------
    stft : STFT
        The transform.
    compression : float
        Exponent c of the magnitudes, in (0, 1].
    complex_share : float
        In [0, 1], of the complex error; the rest is the magnitudes'.

    Example
    -------
    >>> loss = SpectrumResponse(STFT(), compression=1.0, complex_share=0.25)
    >>> spec = torch.ones(1, 257, 4, dtype=torch.complex64)
    >>> value, terms = loss.compare(-spec, spec, torch.ones(1, 4).bool())
    >>> round(value.item(), 3)  # 0.25 * 2^2, and no error of magnitude
    1.0
    """

    def __init__(
        self, stft: STFT, compression: float = 0.3, complex_share: float = 0.3
    ):
        super().__init__(stft)
        check_share("compression", compression, 0.3, with_zero=False)
        check_share("complex_share", complex_share, 0.3)
        self.compression = compression
        self.complex_share = complex_share

    def split(self, teacher_mag: Tensor, valid: Tensor) -> Split:
        """Return all bins as one band."""
        every_bin = teacher_mag.new_ones(1, teacher_mag.shape[1], 1)
        return {"l_spectrum": Band(every_bin, patch_mean)}, {}

    def bin_terms(self, estimate: Spectrum, target: Spectrum) -> Tensor:
        """Return the error of each bin, [B, F, T]."""
        shares = (self.compression, self.complex_share)
        return compressed_error(estimate, target, *shares)


class SubbandResponse(SpectrumResponse):
    """The response on the spectrum, summed over fixed sub-bands.

    Each band counts alike, however few bins it has. After Hao et al.,
    "Sub-band Knowledge Distillation Framework for Speech Enhancement",
    Interspeech 2020, arXiv 2005.14435. Deviation: there every band has a
    teacher of its own; here one teacher serves all.

    Arguments
    ---------
    edges : sequence of int
        First bins of all bands but the lowest, rising.
    stft, compression, complex_share
        As in ``SpectrumResponse``.

    Example
    -------
    >>> loss = SubbandResponse(STFT(), [32, 64])
    >>> spec = torch.ones(1, 257, 4, dtype=torch.complex64)
    >>> value, terms = loss.compare(spec, spec, torch.ones(1, 4).bool())
    >>> list(terms)
    ['l_from_bin_0', 'l_from_bin_32', 'l_from_bin_64']
    """

    def __init__(
        self,
        stft: STFT,
        edges: Sequence[int],
        compression: float = 0.3,
        complex_share: float = 0.3,
    ):
        super().__init__(stft, compression, complex_share)
        self.edges = [0, *edges, stft.n_fft // 2 + 1]
        if any(low >= high for low, high in pairwise(self.edges)):
            raise UserError(
                f"edges must rise between 1 and {self.edges[-1] - 1}, got "
                f"{list(edges)}; try [32, 64, 128]"
            )

    def split(self, teacher_mag: Tensor, valid: Tensor) -> Split:
        """Return the fixed bands."""
        bins = torch.arange(teacher_mag.shape[1], device=teacher_mag.device)
        bands = {}
        for low, high in pairwise(self.edges):
            mask = ((bins >= low) & (bins < high)).to(teacher_mag.dtype)
            bands[f"l_from_bin_{low}"] = Band(mask[None, :, None], patch_mean)
        return bands, {}
