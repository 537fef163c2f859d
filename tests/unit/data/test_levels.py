"""Levels and ratios, of arrays and of tensors."""

import math

import numpy as np
import pytest
import torch

from speechbrain_dfkd.data.mixing import from_db, is_range_db, mix, rms


@pytest.mark.parametrize("kind", [torch.tensor, np.float32])
def test_mix_has_the_ratio_asked_for(kind):
    speech, noise = (
        kind(scale * np.random.default_rng(scale).normal(size=1000))
        for scale in (1, 7)
    )
    noisy = mix(speech, noise, 6.0)
    assert noisy.dtype == speech.dtype
    assert rms(speech) / rms(noisy - speech) == pytest.approx(from_db(6.0))
    assert rms(speech) == pytest.approx(float((speech**2).mean() ** 0.5))


@pytest.mark.parametrize(
    "values",
    [5, [5], [0, 1, 2], [7, 3], ["0", "5"], [0, math.inf], [math.nan, 5]],
)
def test_no_range(values):
    assert not is_range_db(values)
