"""Which patches are followed: against the reference, and by construction."""

import kd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import DFKDLoss, SelectivePatches, SpectrumResponse
from speechbrain_dfkd.losses.crossover import FixedSplit, FrequencyAdapter
from speechbrain_dfkd.losses.selective import choose_patches
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT

N_VALID = [2000, 1000, 1500]
LENGTHS = torch.tensor(N_VALID) / 2000


@pytest.fixture
def wavs():
    """Student, teacher, clean [3, 2000]: now one is better, now the other."""
    torch.manual_seed(0)
    noise = torch.randn(4, 3, 2000)
    clean = 0.1 * noise[3].cumsum(1).sin()
    loudness = torch.arange(2000).div(300).sin().abs()
    return [
        clean + 0.1 * loudness * noise[0],
        clean + 0.1 * (1 - loudness) * noise[1],
        clean,
    ]


def dfkd(adapter=None):
    return DFKDLoss(STFT(), adapter or FrequencyAdapter())


def run(loss, student, teacher, clean, lengths=LENGTHS):
    return loss(Enhanced(student, {}), Enhanced(teacher, {}), clean, lengths)


@pytest.mark.parametrize("fraction", [0.8, 0.5, None])
@pytest.mark.parametrize("heights", [(20, 20), (10, 40)])
def test_matches_the_reference(wavs, fraction, heights):
    # Bin 0 by itself, which is real, would have many gaps that are equal.
    inner = dfkd(FixedSplit(30))
    patch_bins = dict(zip(("l_low", "l_high"), heights, strict=True))
    _, terms = run(SelectivePatches(inner, patch_bins, fraction), *wavs)
    triples = [
        [kd_numpy.cut_spectrum(wav[i].double().numpy(), n) for wav in wavs]
        for i, n in enumerate(N_VALID)
    ]
    for name, in_band, error in (
        ("l_low", lambda f, m: f <= m, kd_numpy.low_error),
        ("l_high", lambda f, m: f >= m, kd_numpy.high_error),
    ):
        expected = kd_numpy.dispatch_band(
            triples, in_band, error, patch_bins[name], fraction, lambda _: 30
        )
        assert expected > 0
        assert terms[name].item() == pytest.approx(expected, rel=1e-4), name


def test_all_patches_as_high_as_the_spectrum_are_the_objective_itself(wavs):
    expected, _ = run(dfkd(), *wavs)
    loss, terms = run(SelectivePatches(dfkd(), 257, fraction=1.0), *wavs)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert terms["selected_share"] == 1
    assert terms["crossover_histogram"].sum() == 16 + 8 + 12


def test_frames_of_the_chosen_patches_weigh_as_in_the_objective(wavs):
    inner = SpectrumResponse(STFT())
    plain, _ = run(inner, *wavs)
    inner.energy_exponent = 0.5
    expected, _ = run(inner, *wavs)
    assert expected.item() != pytest.approx(plain.item(), rel=1e-4)
    loss, _ = run(SelectivePatches(inner, 257, fraction=1.0), *wavs)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_patch_may_be_a_single_bin(wavs):
    _, terms = run(SelectivePatches(dfkd(), 1, fraction=1.0), *wavs)
    assert terms["selected_share"] == 1


def test_a_better_teacher_is_followed_and_a_worse_one_is_not(wavs):
    clean = wavs[2]
    noise = torch.randn(3, 2000)
    loss = SelectivePatches(
        SpectrumResponse(STFT(), 1.0, 1.0), 20, fraction=None
    )
    near, far = clean + 0.01 * noise, clean + 0.1 * noise
    assert run(loss, far, near, clean)[1]["selected_share"] == 1
    student = near.requires_grad_()
    value, terms = run(loss, student, far, clean)
    value.backward()
    assert terms["selected_share"] == 0 and value.item() == 0
    assert student.grad.eq(0).all()


def test_both_are_set_against_the_clean_signal_and_without_a_graph(wavs):
    asked = []

    class Recording(SpectrumResponse):
        def bin_terms(self, estimate, target):
            asked.append((estimate.spec, target.spec, torch.is_grad_enabled()))
            return super().bin_terms(estimate, target)

    inner = Recording(STFT())
    run(SelectivePatches(inner, 20), *wavs)
    student, teacher, clean, _ = inner.spectra(wavs, LENGTHS)
    expected = [
        (student, teacher, True), (student, clean, False),
        (teacher, clean, False),
    ]  # fmt: skip
    assert len(asked) == 3
    for (*found, graph), (*specs, has_graph) in zip(
        asked, expected, strict=True
    ):
        assert all(map(torch.equal, found, specs)) and graph == has_graph


def test_a_fixed_fraction_follows_a_worse_teacher_too(wavs):
    clean = wavs[2]
    noise = torch.randn(3, 2000)
    loss = SelectivePatches(SpectrumResponse(STFT()), 20, fraction=0.8)
    value, terms = run(loss, clean + 0.01 * noise, clean + 0.1 * noise, clean)
    assert value.item() > 0
    assert terms["selected_share"].item() == pytest.approx(0.8, abs=0.01)


def test_bins_without_a_gap_get_no_gradient(wavs):
    """The teacher is better below bin 100 alone."""
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 1, 257, 20, dtype=torch.complex64)
    below = torch.arange(257)[:, None] < 100
    student = (clean + noise).requires_grad_()
    teacher = clean + torch.where(below, 0.1, 2.0) * noise

    class Spectra(SpectrumResponse):
        def spectra(self, wavs, lengths):
            return [*wavs, torch.ones(1, 20, dtype=torch.bool)]

    loss = SelectivePatches(Spectra(STFT(), 1.0, 1.0), 20, fraction=None)
    value, _ = run(loss, student, teacher, clean, torch.ones(1))
    value.backward()
    follows = student.grad.abs().gt(0).all(dim=2)[0]
    assert follows.nonzero().flatten().tolist() == list(range(100))


def test_each_utterance_gives_its_share():
    torch.manual_seed(0)
    gap = (
        torch.randn(3, 4, 25) + torch.tensor([0.0, 50.0, -50.0])[:, None, None]
    )
    candidates = torch.ones(3, 4, 25, dtype=torch.bool)
    candidates[1, :, 10:] = False
    chosen = choose_patches(gap, candidates, 0.3)
    assert chosen.flatten(1).sum(1).tolist() == [30, 12, 30]
    assert not chosen[1, :, 10:].any()
    kept = gap.masked_fill(~chosen, torch.inf).flatten(1).amin(1)
    left = gap.masked_fill(chosen | ~candidates, -torch.inf).flatten(1).amax(1)
    assert (kept > left).all()


@pytest.mark.parametrize("fraction, chosen", [(0.01, 1), (0.5, 1), (0.7, 2)])
def test_a_share_is_rounded_down_to_one_patch_at_least(fraction, chosen):
    gap = torch.tensor([[[0.5, 3.0, 1.0, 9.0]]])
    candidates = torch.tensor([[[True, True, True, False]]])
    found = choose_patches(gap, candidates, fraction)
    assert found.sum() == chosen and found[0, 0, 1]


def test_the_published_fraction_is_the_default():
    assert SelectivePatches(dfkd(), 20).fraction == 0.8


def test_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    specs = torch.randn(3, 2, 12, 4, dtype=torch.complex128)
    student, teacher, clean = specs
    valid = torch.tensor([[True] * 4, [True, True, False, False]])

    class Spectra(DFKDLoss):
        def spectra(self, wavs, lengths):
            return [*wavs, valid]

    loss = SelectivePatches(Spectra(STFT(), FrequencyAdapter()), 4, None)
    assert torch.autograd.gradcheck(
        lambda spec: run(loss, spec, teacher, clean)[0],
        student.requires_grad_(),
    )


@pytest.mark.parametrize(
    "fraction, expected", [(0.4, [1, 0, 0, 0]), (None, [1, 0, 1, 0])]
)
def test_only_candidates_are_chosen(fraction, expected):
    gap = torch.tensor([[[3.0, -1.0, 2.0, 9.0]]])
    candidates = torch.tensor([[[True, True, True, False]]])
    found = choose_patches(gap, candidates, fraction)
    assert found.int().tolist() == [[expected]]


def test_a_band_without_a_height_is_named(wavs):
    loss = SelectivePatches(dfkd(), {"l_low": 10})
    with pytest.raises(UserError, match="bands, got .'l_low'. without l_high"):
        run(loss, *wavs)


@pytest.mark.parametrize(
    "patch_bins, fraction, message",
    [
        (0, 0.8, "patch_bins must be at least 1"),
        ({"l_low": 10, "l_high": 0}, 0.8, "patch_bins must be at least 1"),
        (10, 0.0, r"fraction must be in \(0, 1\], got 0.0"),
        (10, 1.5, r"fraction must be in \(0, 1\], got 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(patch_bins, fraction, message):
    with pytest.raises(UserError, match=message):
        SelectivePatches(dfkd(), patch_bins, fraction)
