"""Our networks compute what Asteroid's do with the same weights.

At the published sizes; ``tests/reference`` has small ones without Asteroid.

Asteroid's DCCRNet is the other public implementation of DCCRN-CL. It leaves
time unpadded, takes a square-root Hann window, drops the Nyquist bin and
scales bin 0, for which we have arguments. It also scales the spectrum, which
the converted weights take over, and it does not pad the waveform.

Its ConvTasNet differs from ours in two ways. It leaves the samples after the
last whole frame zero, where we pad the waveform. And where the network is
causal and its norm global, it replaces the norm, by one over channels only;
we refuse, as the other is not the paper's.
"""

import numpy as np
import pytest
import torch
from asteroid_weights import (
    count,
    make_dccrnet,
    ours_of,
    relative,
    speech_like,
    unsettle,
)
from torch.nn import functional as F

from speechbrain_dfkd.teacher.asteroid import conv_tasnet, dccrn

pytest.importorskip("asteroid", reason="asteroid is not installed")
models = pytest.importorskip("asteroid.models")

SCALE = 0.5 * np.sqrt(400 * 512 / 100)


@pytest.fixture(scope="module")
def theirs():
    return make_dccrnet()


@pytest.fixture(scope="module")
def ours(theirs):
    return ours_of(theirs, dccrn)


def test_numbers_of_parameters_are_equal(theirs, ours):
    assert count(theirs) == count(ours)


@torch.no_grad()
def test_masks_are_equal(theirs, ours):
    spec = theirs.forward_encoder(speech_like(16000)[:, None])
    expected = theirs.forward_masker(spec)[:, 0]
    stacked = SCALE * torch.view_as_real(spec).movedim(-1, 1)
    mask, _ = ours.mask_net(stacked)
    ones = torch.ones_like(spec)
    assert expected.std() > 0.05
    assert relative(ours.apply_mask(ones, mask) - expected, expected) < 1e-4


@torch.no_grad()
def test_waveforms_are_equal_away_from_the_edges(theirs, ours):
    noisy = speech_like(16000)
    # Asteroid's frames start at 0, ours are centred there.
    expected = theirs(F.pad(noisy, (200, 200), mode="reflect")[:, None])
    expected = expected[:, 0, 200:-200]

    enhanced = ours(noisy).wav
    inner = slice(400, -400)
    difference = (enhanced - expected)[:, inner]
    assert relative((expected - noisy)[:, inner], noisy) > 0.05
    assert relative(difference, expected[:, inner]) < 1e-4


@pytest.fixture(
    scope="module",
    params=[
        ("gLN", "sigmoid", {}),
        ("cgLN", "relu", {"causal": True}),
        ("cgLN", "sigmoid", {"causal": False}),
    ],
    ids=["global", "causal", "cumulative"],
)
def conv_tasnets(request):
    """Asteroid's ConvTasNet as if trained, and ours with its weights."""
    norm_type, mask, causal = request.param
    torch.manual_seed(0)
    theirs = models.ConvTasNet(
        1,
        kernel_size=32,
        stride=16,
        sample_rate=16000,
        norm_type=norm_type,
        mask_act=mask,
        **causal,
    )
    unsettle(theirs)
    return theirs.eval(), ours_of(theirs, conv_tasnet)


def test_conv_tasnets_have_as_many_parameters(conv_tasnets):
    assert count(conv_tasnets[0]) == count(conv_tasnets[1])


@torch.no_grad()
def test_conv_tasnets_are_equal(conv_tasnets):
    theirs, ours = conv_tasnets
    noisy = speech_like(16000)
    expected, enhanced = theirs(noisy[:, None])[:, 0], ours(noisy)
    assert relative(enhanced.wav - expected, expected) < 1e-4

    encoded = theirs.forward_encoder(noisy[:, None])
    expected = theirs.forward_masker(encoded)[:, 0]
    mask = ours(noisy, ["mask"]).features["mask"]
    assert expected.std() > 0.05
    assert relative(mask - expected, expected) < 1e-4
