"""DISPatch: follow a teacher only where it is better than the student."""

from collections.abc import Mapping

import torch
from torch import Tensor

from speechbrain_dfkd.errors import UserError, require
from speechbrain_dfkd.losses.kd_loss import KDLoss, check_share
from speechbrain_dfkd.losses.spectral import (
    SpectralLoss,
    Spectrum,
    patch_sum,
    sum_bands,
)
from speechbrain_dfkd.models.base import Enhanced


class SelectivePatches(KDLoss):
    """Keeps the patches of an objective where the student lags most.

    Kim and Choi, "DISPatch: Distilling Selective Patches for Speech
    Enhancement", ICASSP 2026, arXiv 2509.15922, and the code they published.
    In each band of the objective, over patches of some bins of one frame::

        gap    = error(student, clean) - error(teacher, clean)
        chosen = the share ``fraction`` of the largest gaps of an utterance
                 (and those equal to the last of them), at least one
        L      = sum over bands of
                 mean over the chosen patches of error(student, teacher)

    A fixed share keeps patches in which the teacher is the worse one, once
    it is so in more than the rest; with ``fraction`` None exactly those of
    positive gap are chosen [ours]. With patches of different height in
    different bands this is MSSP of the same paper.

    Deviations: a patch at the edge of a band is averaged over the band's own
    bins, and frames beyond the utterance's end are no candidates. With
    ``energy_exponent`` the frames of the chosen patches are weighted.

    Arguments
    ---------
    objective : SpectralLoss
        Splits the spectrum into bands and measures their errors.
    patch_bins : int or mapping of str to int
        Height of the patches in bins: of all, or by the name of the band's
        term. Published: 20; with MSSP 10 in the low and 40 in the high band.
    fraction : float, optional
        In (0, 1]; published: 0.8. None: positive gaps only.

    Example
    -------
    >>> from speechbrain_dfkd.losses import SpectrumResponse
    >>> from speechbrain_dfkd.stft import STFT
    >>> inner = SpectrumResponse(STFT(), compression=1.0, complex_share=0.0)
    >>> loss = SelectivePatches(inner, patch_bins=40, fraction=None)
    >>> clean = torch.sin(torch.arange(2048.0)).reshape(1, -1)
    >>> good, bad = Enhanced(0.9 * clean, {}), Enhanced(0.1 * clean, {})
    >>> loss(bad, good, clean, torch.ones(1))[1]["selected_share"].item()
    1.0
    >>> loss(good, bad, clean, torch.ones(1))[1]["selected_share"].item()
    0.0
    """

    def __init__(
        self,
        objective: SpectralLoss,
        patch_bins: int | Mapping[str, int],
        fraction: float | None = 0.8,
    ):
        super().__init__()
        by_band = isinstance(patch_bins, Mapping)
        least = min(patch_bins.values() if by_band else [patch_bins])
        require("patch_bins", least > 0, "at least 1", patch_bins, "try 20")
        if fraction is not None:
            check_share("fraction", fraction, 0.8, with_zero=False)
        self.objective = objective
        self.patch_bins = patch_bins
        self.fraction = fraction

    def forward(
        self,
        student: Enhanced,
        teacher: Enhanced,
        clean: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, the objective's terms, and ``selected_share``."""
        wavs = [student.wav, teacher.wav.detach(), clean]
        *specs, valid = self.objective.spectra(wavs, lengths)
        student, teacher, clean = map(Spectrum.of, specs)
        bands, logged = self.objective.split(teacher.mag, valid)
        weights = self.objective.frame_weights(teacher.mag, valid)
        bins = self.objective.bin_terms(student, teacher)
        with torch.no_grad():
            students = self.objective.bin_terms(student, clean)
            teachers = self.objective.bin_terms(teacher, clean)
        patches, n_chosen, n_candidates = {}, 0, 0
        for name, (mask, error) in bands.items():
            height = self._height(name)
            gap = error(students, mask, height) - error(teachers, mask, height)
            own = patch_sum(mask, mask, height) > 0
            candidates = (own & valid[:, None]).expand_as(gap)
            chosen = choose_patches(gap, candidates, self.fraction)
            patches[name] = (height, weights * chosen)
            n_chosen = n_chosen + chosen.sum()
            n_candidates = n_candidates + candidates.sum()
        loss, terms = sum_bands(bands, bins, patches)
        share = n_chosen / n_candidates
        return loss, {**terms, **logged, "selected_share": share}

    def _height(self, name: str) -> int:
        if not isinstance(self.patch_bins, Mapping):
            return self.patch_bins
        if name not in self.patch_bins:
            raise UserError(
                f"patch_bins must name the objective's bands, got "
                f"{list(self.patch_bins)} without {name}; give its number of bins"
            )
        return self.patch_bins[name]


def choose_patches(gap: Tensor, candidates: Tensor, fraction: float | None):
    """Return the ``fraction`` of the largest gaps; None: the positive ones.

    Shape
    -----
    gap, candidates, output : [B, P, T]
    """
    if fraction is None:
        return candidates & (gap > 0)
    ranked = gap.masked_fill(~candidates, -torch.inf).flatten(1)
    n_candidates = candidates.flatten(1).sum(1, keepdim=True)
    n_chosen = (fraction * n_candidates).long().clamp_min(1)
    ordered = ranked.sort(descending=True).values
    least = ordered.gather(1, n_chosen - 1)
    return candidates & (gap >= least[:, :, None])
