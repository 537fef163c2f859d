"""Relative lengths back to samples, and shapes that would broadcast."""

import pytest
import torch

from speechbrain_dfkd.losses.kd_loss import check_same_shape, sample_mask


def test_every_length_survives_the_way_through_float32():
    """Rounding down would lose a sample of many of these."""
    for n_samples in (1000, 32123):
        samples = torch.arange(1, n_samples + 1, n_samples // 500)
        found = sample_mask(samples / n_samples, n_samples)
        assert found.sum(1).equal(samples)
        assert found[:, 0].all()


def test_an_utterance_begins_with_its_valid_samples():
    found = sample_mask(torch.tensor([0.5, 1.0]), 4)
    assert found.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    "estimate, target, lengths, message",
    [
        (
            (2, 1, 9), (2, 1, 9), (2,),
            "estimate and target must both be [B, L], got [2, 1, 9] and "
            "[2, 1, 9]; squeeze channels and cut both to one length",
        ),
        (
            (2, 9), (1, 9), (2,),
            "estimate and target must both be [B, L], got [2, 9] and [1, 9]; "
            "squeeze channels and cut both to one length",
        ),
        (
            (2, 9), (2, 9), (2, 1),
            "lengths must be [B] = [2], got [2, 1]; give one relative length "
            "per item",
        ),
    ],
)  # fmt: skip
def test_what_would_broadcast_is_refused(estimate, target, lengths, message):
    with pytest.raises(ValueError) as raised:
        check_same_shape(*map(torch.ones, (estimate, target, lengths)))
    assert str(raised.value) == message


def test_waveforms_of_one_shape_are_let_pass():
    check_same_shape(torch.ones(2, 9), torch.ones(2, 9), torch.ones(2))
