"""Patches, bands, the weights of frames, and the level of spectra."""

import kd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import DFKDLoss, SelectivePatches
from speechbrain_dfkd.losses.crossover import FrequencyAdapter
from speechbrain_dfkd.losses.spectral import (
    SpectralLoss,
    Spectrum,
    compressed_error,
    patch_mean,
    patch_sum,
    weighted_mean,
)
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT


def dfkd(beta=0.5, **options):
    return DFKDLoss(STFT(), FrequencyAdapter(), beta, **options)


def run(loss, student, teacher, lengths=None):
    lengths = torch.ones(len(student)) if lengths is None else lengths
    outputs = Enhanced(student, {}), Enhanced(teacher, {})
    return loss(*outputs, 0.5 * teacher, lengths)


@pytest.fixture
def pair():
    """Student and teacher [2, 6000], whose frames differ in level."""
    torch.manual_seed(0)
    swell = 0.1 * torch.arange(6000).div(500).sin().abs() + 1e-3
    teacher = swell * torch.randn(2, 6000)
    return teacher + 0.5 * swell * torch.randn(2, 6000), teacher


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_frames_weigh_by_the_energy_of_the_teacher(pair, exponent):
    teacher = pair[1]
    n_valid = [6000, 3000]
    loss = dfkd(energy_exponent=exponent)
    mag, valid = loss.spectra([teacher], torch.tensor([1.0, 0.5]))
    weights = loss.frame_weights(mag.abs(), valid)
    for i, n in enumerate(n_valid):
        spec = kd_numpy.cut_spectrum(teacher[i].double().numpy(), n)
        expected = kd_numpy.energy_weights(spec, exponent)
        found = weights[i, 0][: len(expected)]
        assert found.tolist() == pytest.approx(expected, rel=1e-4)
        assert weights[i, 0][len(expected) :].eq(0).all()


def test_weights_of_a_single_frame_and_of_silence():
    loss = dfkd(energy_exponent=1.0)
    mag = torch.tensor([[[3.0, 5.0]], [[0.0, 0.0]]])
    valid = torch.tensor([[True, False], [True, True]])
    weights = loss.frame_weights(mag, valid)
    assert weights.tolist() == [[[1.0, 0.0]], [[0.0, 0.0]]]


def test_errors_in_weak_frames_vanish_with_the_exponent():
    torch.manual_seed(0)
    teacher = torch.randn(1, 9, 8, dtype=torch.complex64)
    teacher[:, :, 4:] *= 1e-3
    student = teacher.clone()
    student[:, :, 4:] *= -1
    valid = torch.ones(1, 8, dtype=torch.bool)
    terms = [
        dfkd(1.0, energy_exponent=p).compare(student, teacher, valid)[1]
        for p in (0.0, 0.5, 1.0)
    ]
    low = [term["l_low"].item() for term in terms]
    assert low[0] == pytest.approx(1.0), "half of the frames, 2 each"
    assert low[1] < 0.01 and low[2] < 1e-5


def test_loudness_of_an_utterance_does_not_change_its_weight(pair):
    student, teacher = pair
    loss = dfkd(1.0, energy_exponent=1.0)
    gain = torch.tensor([[1.0], [8.0]])
    expected, _ = run(loss, *pair)
    louder, _ = run(loss, gain * student, gain * teacher)
    assert louder.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: SelectivePatches(x, 20)]
)
def test_relative_level_ignores_the_scale_of_recordings(pair, wrap):
    student, teacher = pair
    gain = torch.tensor([[0.2], [8.0]])
    relative, absolute = wrap(dfkd(relative_level=True)), wrap(dfkd())
    expected, _ = run(relative, *pair)
    found, _ = run(relative, gain * student, gain * teacher)
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    plain, _ = run(absolute, *pair)
    louder, _ = run(absolute, gain * student, gain * teacher)
    assert louder.item() > 5 * plain.item()


def test_relative_level_is_that_of_the_teacher_within_its_length(pair):
    lengths = torch.tensor([1.0, 0.5])
    student, teacher = (wav.clone() for wav in pair)
    teacher[1, 3000:] = student[1, 3000:] = 0
    level = torch.stack([teacher[0].norm() / 6000**0.5,
                         teacher[1].norm() / 3000**0.5])[:, None]  # fmt: skip
    expected, _ = run(dfkd(), student / level, teacher / level, lengths)
    found, _ = run(dfkd(relative_level=True), *pair, lengths)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_relative_level_of_a_single_sample_is_its_magnitude(pair):
    student, teacher = pair
    ones = torch.ones(2) / 6000
    expected, _ = run(
        dfkd(), *(wav / teacher[:, :1].abs() for wav in pair), ones
    )
    assert expected.item() > 0.1
    found, _ = run(dfkd(relative_level=True), student, teacher, ones)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_an_almost_silent_teacher_is_not_made_loud(pair):
    loss, _ = run(dfkd(0.0, relative_level=True), pair[0], 1e-9 * pair[1])
    as_is, _ = run(dfkd(0.0), 1e3 * pair[0], 1e-6 * pair[1])
    assert loss.item() == pytest.approx(as_is.item(), rel=1e-4)


def test_a_subclass_that_lacks_a_part_says_which():
    class Half(SpectralLoss):
        pass

    for part in (Half(STFT()).split, Half(STFT()).bin_terms):
        with pytest.raises(NotImplementedError) as raised:
            part(None, None)
        assert str(raised.value) == f"Half must define {part.__name__}"


def test_exponent_must_not_favour_silence():
    with pytest.raises(UserError, match="energy_exponent must be at least 0"):
        dfkd(energy_exponent=-1.0)


@pytest.mark.parametrize("complex_share, expected", [(0, 1), (1, 49)])
def test_compressed_error_is_of_magnitudes_and_of_values(
    complex_share, expected
):
    """Of 3i and -4i, the roots of the magnitudes: (3 - 4)^2 and (3 + 4)^2."""
    nine, sixteen = (
        Spectrum.of(torch.tensor(value, dtype=torch.complex64))
        for value in (9j, -16j)
    )
    error = compressed_error(nine, sixteen, 0.5, complex_share)
    assert error.item() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("patch_bins", [1, 3, 4, 10, 40])
def test_patches_cover_a_band_once(patch_bins):
    torch.manual_seed(0)
    values, mask = torch.rand(2, 10, 5), torch.rand(2, 10, 5).round()
    sums = patch_sum(values, mask, patch_bins)
    assert sums.shape == (2, -(-10 // patch_bins), 5)
    kept = values * mask
    torch.testing.assert_close(sums[:, 0], kept[:, :patch_bins].sum(1))
    torch.testing.assert_close(sums.sum(1), kept.sum(1))
    means = patch_mean(values, mask, 40)
    expected = kept.sum(1) / mask.sum(1).clamp_min(1)
    torch.testing.assert_close(means[:, 0], expected)


def test_the_topmost_patch_may_be_cut():
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).reshape(1, 5, 1)
    sums = patch_sum(values, (values > 1).float(), patch_bins=2)
    assert sums.flatten().tolist() == [2.0, 12.0, 16.0]


def test_mean_of_a_patch_is_over_its_own_bins_of_the_band():
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).reshape(1, 5, 1)
    mask = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]).reshape(1, 5, 1)
    assert patch_mean(values, mask, 2).flatten().tolist() == [2, 6, 0]


def test_what_has_no_weight_is_not_looked_at():
    errors = torch.tensor([[[1.0, float("nan"), 5.0]], [[3.0, 9.0, 0.0]]])
    errors.requires_grad_()
    weights = torch.tensor([[[1.0, 0.0, 1.0]], [[2.0, 0.0, 0.0]]])
    found = weighted_mean(errors, weights)
    found.backward()
    assert found.item() == (1 + 5 + 2 * 3) / 4
    assert errors.grad.equal(weights / 4)
    plain = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([1, 3, 0])
    assert weighted_mean(*plain).item() == 3.25


def test_weights_of_frames_count_for_all_their_patches():
    errors = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    weights = torch.tensor([[[1.0, 3.0]]])
    assert weighted_mean(errors, weights).item() == (1 + 3 + 6 + 12) / 8


def test_the_mean_does_not_depend_on_how_small_the_weights_are():
    errors, weights = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 3.0])
    found = weighted_mean(errors, 1e-15 * weights)
    assert found.item() == pytest.approx(3.5)
    assert weighted_mean(errors, 0 * weights).item() == 0
