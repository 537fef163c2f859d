"""Our DPTNet computes what Asteroid's does with the same weights.

Three things are written differently. Asteroid leaves the samples after the
last whole frame zero, where we pad the waveform and so have a frame more,
which every other one hears: the lengths compared are of whole frames. It maps
the channels before the chunks are joined, we map them after: the join is a
mean of two, so that it is the same. And its two maps of the gate are one of
ours.
"""

import pytest
import torch
from asteroid_weights import count, ours_of, relative, speech_like, unsettle

from speechbrain_dfkd.teacher.asteroid import dptnet

pytest.importorskip("asteroid", reason="asteroid is not installed")
models = pytest.importorskip("asteroid.models")


@pytest.fixture(scope="module", params=["relu", "sigmoid"])
def pair(request):
    """Asteroid's DPTNet as if trained, and ours with its weights."""
    torch.manual_seed(0)
    theirs = models.DPTNet(
        1, n_repeats=6, ff_hid=128, mask_act=request.param, sample_rate=16000
    )
    unsettle(theirs)
    for name, parameter in theirs.named_parameters():
        # Zero at the start, which would hide a bias that is left out.
        if "mha" in name and name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return theirs.eval(), ours_of(theirs, dptnet)


def test_they_have_as_many_parameters(pair):
    assert count(pair[0]) == count(pair[1])


# One frame, whole chunks (100 frames), one frame more, and a second.
@pytest.mark.parametrize("length", [16, 808, 816, 16000])
@torch.no_grad()
def test_they_are_equal(pair, length):
    theirs, ours = pair
    noisy = speech_like(length)
    encoded = theirs.forward_encoder(noisy[:, None])
    expected = theirs.forward_masker(encoded)[:, 0]
    mask = ours(noisy, ["mask"]).features["mask"]
    assert expected.std() > 0.01
    assert relative(mask - expected, expected) < 1e-4

    expected = theirs(noisy[:, None])[:, 0]
    assert relative(ours(noisy).wav - expected, expected) < 1e-4
