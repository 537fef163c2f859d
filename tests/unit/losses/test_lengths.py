"""Relative lengths back to samples."""

import torch

from speechbrain_dfkd.losses.lengths import sample_mask


def test_every_length_survives_the_way_through_float32():
    """Rounding down would lose a sample of many of these."""
    for n_samples in (1000, 32123):
        samples = torch.arange(1, n_samples + 1, n_samples // 500)
        found = sample_mask(samples / n_samples, n_samples)
        assert found.sum(1).equal(samples)
        assert found[:, 0].all()
