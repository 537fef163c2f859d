"""Responses on waveform, spectrum and sub-bands against the reference."""

import kd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import (
    SpectrumResponse,
    SubbandResponse,
    WaveformResponse,
    si_snr_loss,
    si_snr_spectrum_loss,
)
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT

N_VALID = [6000, 3000, 4500]
LENGTHS = torch.tensor(N_VALID) / 6000
SETTINGS = pytest.mark.parametrize(
    "compression, complex_share", [(0.3, 0.3), (1.0, 0.0), (0.5, 1.0)]
)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    teacher = 0.1 * torch.randn(3, 6000)
    return teacher + 0.05 * torch.randn(3, 6000), teacher


def run(loss, student, teacher):
    outputs = Enhanced(student, {}), Enhanced(teacher, {})
    return loss(*outputs, torch.zeros_like(teacher), LENGTHS)


def spectra(pair):
    """Return the spectra of each item, for the reference."""
    return [
        tuple(kd_numpy.cut_spectrum(wav[i].double().numpy(), n) for wav in pair)
        for i, n in enumerate(N_VALID)
    ]


@SETTINGS
def test_spectrum_matches_the_reference(pair, compression, complex_share):
    settings = (compression, complex_share)
    loss, terms = run(SpectrumResponse(STFT(), *settings), *pair)
    (expected,) = kd_numpy.spectrum_response(spectra(pair), *settings)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert terms["l_spectrum"].equal(loss.detach())


@pytest.mark.parametrize("complex_share, missing", [(0, 1e-8**0.15), (1, 0)])
def test_a_silent_bin_is_one_of_80_db_below(complex_share, missing):
    """In its magnitude; its complex value is zero."""
    loss = SpectrumResponse(STFT(), 0.3, complex_share)
    ones = torch.ones(1, 257, 2, dtype=torch.complex64)
    value, _ = loss.compare(0 * ones, ones, torch.ones(1, 2).bool())
    assert value.item() == pytest.approx((1 - missing) ** 2, rel=1e-4)


@pytest.mark.parametrize("settings", [(), (0.5, 0.9)])
def test_subbands_match_the_reference(pair, settings):
    loss, terms = run(SubbandResponse(STFT(), [32, 64, 128], *settings), *pair)
    bands = kd_numpy.spectrum_response(
        spectra(pair), *(settings or (0.3, 0.3)), edges=[32, 64, 128]
    )
    assert [term.item() for term in terms.values()] == pytest.approx(
        bands, rel=1e-4
    )
    assert loss.item() == pytest.approx(sum(bands), rel=1e-4)


def test_each_subband_sees_its_own_bins():
    loss = SubbandResponse(STFT(n_fft=16, hop_length=4), [2, 5])
    teacher = torch.ones(1, 9, 3, dtype=torch.complex64)
    for name, bins in (
        ("l_from_bin_0", (0, 1)),
        ("l_from_bin_2", (2, 4)),
        ("l_from_bin_5", (5, 8)),
    ):
        for changed in bins:
            student = teacher.clone()
            student[:, changed] = 2
            _, terms = loss.compare(student, teacher, torch.ones(1, 3).bool())
            assert [key for key in terms if terms[key] > 1e-3] == [name]


def test_waveform_is_the_criterion_with_the_teacher_for_a_target(pair):
    loss, terms = run(WaveformResponse(), *pair)
    assert loss.equal(si_snr_loss(*pair, LENGTHS))
    assert terms["l_waveform"].equal(loss)


@SETTINGS
def test_gradient_is_that_of_the_formula(compression, complex_share):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 6, 4, dtype=torch.complex128)
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    stft = STFT(n_fft=10, hop_length=2)
    for loss in (
        SpectrumResponse(stft, compression, complex_share),
        SubbandResponse(stft, [2], compression, complex_share),
    ):
        assert torch.autograd.gradcheck(
            lambda spec, loss=loss: loss.compare(spec, teacher, valid)[0],
            student.requires_grad_(),
        )


def test_supervised_sum_is_that_of_its_parts(pair):
    (spectral,) = kd_numpy.spectrum_response(spectra(pair), 0.3, 0.3)
    waveform = si_snr_loss(*pair, LENGTHS).item()
    loss = si_snr_spectrum_loss(*pair, LENGTHS, spectrum_weight=20.0)
    assert loss.item() == pytest.approx(waveform / 10 + 20 * spectral, rel=1e-4)
    usual = si_snr_spectrum_loss(*pair, LENGTHS).item()
    assert usual == pytest.approx(waveform / 10 + 100 * spectral, rel=1e-4)
    bent = si_snr_spectrum_loss(*pair, LENGTHS, 20.0, ceiling_db=3.0)
    ceiling = si_snr_loss(*pair, LENGTHS, 3.0).item()
    assert bent.item() == pytest.approx(ceiling / 10 + 20 * spectral, rel=1e-4)


def test_supervised_sum_fixes_the_level(pair):
    estimate, target = pair
    losses = [
        si_snr_spectrum_loss(gain * estimate, target, LENGTHS)
        for gain in (0.3, 1.0, 3.0)
    ]
    assert losses[1] < min(losses[0], losses[2])


def test_supervised_sum_keeps_its_contract(pair):
    estimate, target = (wav.clone() for wav in pair)
    expected = si_snr_spectrum_loss(estimate, target, LENGTHS)
    estimate[1, 3000:] = target[2, 4500:] = float("nan")
    estimate.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = si_snr_spectrum_loss(estimate, target, LENGTHS)
    loss.backward()
    assert loss.equal(expected)
    assert estimate.grad.isfinite().all()
    meta = torch.empty(2, 4001, device="meta")
    assert si_snr_spectrum_loss(meta, meta, meta[:, 0]).shape == ()


def test_the_narrowest_bands_hold_one_bin():
    loss = SubbandResponse(STFT(), [1, 256])
    spec = torch.ones(1, 257, 2, dtype=torch.complex64)
    _, terms = loss.compare(2 * spec, spec, torch.ones(1, 2).bool())
    assert [*terms] == ["l_from_bin_0", "l_from_bin_1", "l_from_bin_256"]
    values = [term.item() for term in terms.values()]
    assert values == pytest.approx([values[0]] * 3, rel=1e-4)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: SpectrumResponse(STFT(), 0.0),
            r"compression must be in \(0, 1",
        ),
        (lambda: SpectrumResponse(STFT(), 1.5), r"in \(0, 1\], got 1.5;"),
        (lambda: SubbandResponse(STFT(), [0]), "edges must rise"),
        (lambda: SubbandResponse(STFT(), [32, 32]), "edges must rise"),
        (lambda: SubbandResponse(STFT(), [257]), r"and 256, got \[257\];"),
        (lambda: SpectrumResponse(STFT(), 0.3, 2), r"share must be in \[0, 1"),
        (
            lambda: SubbandResponse(STFT(), [64, 32]),
            "rise between 1 and 256, got",
        ),
        (lambda: SubbandResponse(STFT(), [300]), "edges must rise between 1"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
