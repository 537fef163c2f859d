"""The bands of DFKD with the errors of a response on compressed spectra."""

from functools import partial

from torch import Tensor

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.frequency_adapter import FrequencyAdapter
from speechbrain_dfkd.losses.frequency_adaptive import adaptive_bands
from speechbrain_dfkd.losses.patches import Band, Spectrum, patch_mean
from speechbrain_dfkd.losses.response import compressed_errors
from speechbrain_dfkd.losses.spectral import SpectralLoss
from speechbrain_dfkd.stft import STFT


class AdaptiveResponse(SpectralLoss):
    """Follows the teacher's compressed spectrum below and above a crossover.

    With the crossover ``m`` that the adapter finds in each frame of the
    teacher, and ``e_a`` the ``compressed_error`` of a bin with complex share
    ``a``::

        L_low  = mean over frames of the mean over f <= m of e_a, a low_share
        L_high = mean over frames of the mean over f >= m of e_a, a high_share
        L      = L_low + L_high

    The bands are DFKD's (Yuan et al., arXiv 2502.04711), the errors those of
    ``SpectrumResponse``. Ours: unlike a cosine, such an error knows level, so
    that frames with hardly any sound count for less; unlike a response on the
    whole spectrum, the few bins that hold a frame's energy weigh as much as
    the many above them; and phase can be asked for only where the ear hears
    it.

    Arguments
    ---------
    stft : STFT
        The transform.
    adapter : FrequencyAdapter
        Anything that maps the teacher's magnitudes [B, F, T] to a crossover
        bin per frame [B, T].
    compression : float
        Exponent of the magnitudes, in (0, 1].
    low_share, high_share : float
        In [0, 1], of the complex error in a band; the rest is the magnitudes'.
    energy_exponent : float
        Of the frames' weights: see ``SpectralLoss``.

    Raises
    ------
    UserError
        If a number is out of its range.

    Example
    -------
    >>> import torch
    >>> loss = AdaptiveResponse(
    ...     STFT(), FrequencyAdapter(), compression=1.0, high_share=0.0
    ... )
    >>> spec = torch.ones(1, 257, 4, dtype=torch.complex64)
    >>> value, terms = loss.compare(-spec, spec, torch.ones(1, 4).bool())
    >>> round(terms["l_low"].item(), 3)  # 0.3 * 2^2
    1.2
    >>> round(terms["l_high"].item(), 3)  # no error of magnitude
    0.0
    """

    def __init__(
        self,
        stft: STFT,
        adapter: FrequencyAdapter,
        compression: float = 0.3,
        low_share: float = 0.3,
        high_share: float = 0.3,
        energy_exponent: float = 0.0,
    ):
        super().__init__(stft, energy_exponent)
        if not 0 < compression <= 1:
            raise UserError(
                f"compression must be above 0 and at most 1, got "
                f"{compression}; 0.3 is usual, 1 does not compress"
            )
        for name, share in [
            ("low_share", low_share),
            ("high_share", high_share),
        ]:
            if not 0 <= share <= 1:
                raise UserError(
                    f"{name} must be in [0, 1], got {share}; 0.3 is usual"
                )
        self.adapter = adapter
        self.compression = compression
        self.low_share = low_share
        self.high_share = high_share

    def split(
        self, teacher_mag: Tensor, valid: Tensor
    ) -> tuple[dict[str, Band], dict[str, Tensor]]:
        """Return ``l_low`` and ``l_high``, and the crossovers to log.

        As ``DFKDLoss.split``.
        """
        return adaptive_bands(
            self.adapter,
            teacher_mag,
            valid,
            partial(_error, self.low_share),
            partial(_error, self.high_share),
        )

    def bin_terms(
        self, estimate: Spectrum, target: Spectrum
    ) -> tuple[Tensor, Tensor]:
        """Return the complex error of each bin and that of its magnitude."""
        return compressed_errors(estimate, target, self.compression)


def _error(complex_share, bins, mask, patch_bins):
    whole, level = bins
    error = complex_share * whole + (1 - complex_share) * level
    return patch_mean(error, mask, patch_bins)
