"""Gradient norms with known answers, and the weight that balances them."""

import math

import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.training.kd_weight import gradient_norms, weight_for_ratio


def test_gradients_are_averaged_before_their_norm():
    weights = [torch.ones(2, requires_grad=True), torch.ones(1)]
    weights[1].requires_grad_()

    def losses(sign):
        opposed = sign * weights[0].sum()
        both = 3 * weights[0][0] + 4 * weights[1][0]
        return opposed, both, torch.tensor(1.0)

    assert gradient_norms(losses, [1.0, -1.0], weights) == [0, 5, 0]
    assert all(weight.grad is None for weight in weights)


def test_weighted_gradient_has_the_ratio():
    weight = torch.tensor([0.3, -2.0], requires_grad=True)

    def losses(batch):
        return (batch * weight).sin().sum(), 1e-3 * (batch * weight**2).sum()

    batches = [torch.tensor([1.0, 2.0]), torch.tensor([-0.5, 0.1])]
    norms = gradient_norms(losses, batches, [weight])
    factor = weight_for_ratio(0.2, *norms)

    def weighted(batch):
        supervised, distilled = losses(batch)
        return supervised, factor * distilled

    supervised, distilled = gradient_norms(weighted, batches, [weight])
    assert distilled == pytest.approx(0.2 * supervised)


@pytest.mark.parametrize(
    ("se_norm", "kd_norm"),
    [(1.0, 0.0), (1.0, 1e-9), (0.0, 1.0), (1.0, math.nan), (math.inf, 1.0)],
)
def test_without_two_gradients_there_is_no_ratio(se_norm, kd_norm):
    with pytest.raises(UserError, match="kd_gradient_ratio must be null"):
        weight_for_ratio(0.5, se_norm, kd_norm)
