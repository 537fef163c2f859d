"""Sums and means over patches, and the mean over what is chosen."""

import pytest
import torch

from speechbrain_dfkd.losses.spectral import (
    patch_mean,
    patch_sum,
    weighted_mean,
)


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
