"""Our networks compute what Asteroid's do with the same weights.

Asteroid's DCCRNet is the other public implementation of DCCRN-CL. It leaves
time unpadded, takes a square-root Hann window and drops the Nyquist bin, for
which we have arguments. Three differences of its STFT are no arguments of
ours, because a trained network absorbs them: it does not pad the waveform, it
scales the spectrum, and it scales bin 0 by another 1 / sqrt(2).

Its ConvTasNet differs from ours in two ways. It leaves the samples after the
last whole frame zero, where we pad the waveform. And where the network is
causal and its norm global, it replaces the norm, by one over channels only;
we refuse, as the other is not the paper's.
"""

import numpy as np
import pytest
import torch
from asteroid_weights import count, put, relative, speech_like, unsettle
from torch.nn import functional as F

from speechbrain_dfkd.models import DCCRN, ConvTasNet

pytest.importorskip("asteroid", reason="asteroid is not installed")
recurrent = pytest.importorskip("asteroid.masknn.recurrent")
models = pytest.importorskip("asteroid.models")

SCALE = 0.5 * np.sqrt(400 * 512 / 100)


@pytest.fixture(scope="module")
def theirs():
    """DCCRNet with batch statistics and slopes of a trained network."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # It passes numpy integers, which today's nn.LSTM refuses.
        init = recurrent.DCCRMaskNetRNN.__init__
        patch.setattr(
            recurrent.DCCRMaskNetRNN,
            "__init__",
            lambda self, in_size: init(self, int(in_size)),
        )
        model = models.DCCRNet("DCCRN-CL")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # About the level of what comes in, so that no layer saturates.
            module.running_mean.normal_(std=0.05)
            module.running_var.uniform_(0.05, 0.2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, 0.1, 0.4)
    return model.eval()


@pytest.fixture(scope="module")
def ours(theirs):
    model = DCCRN(
        time_padding="none", window="sqrt_hann", dropped_bin="nyquist"
    )
    model.mask_net.load_state_dict(converted(theirs.masker))
    return model.eval()


def converted(masker):
    """Asteroid's weights under our names."""
    state = {}
    *encoders, recurrence = masker.encoders
    for i, block in enumerate(encoders):
        put_block(state, f"encoder.{i}", block, block.conv)
    for i, block in enumerate(masker.decoders[1:]):
        put_block(state, f"decoder.{i}", block, block.deconv)
    put_complex(state, f"decoder.{len(encoders) - 1}", masker.output_layer[0])
    for i, layer in enumerate(recurrence.rnn.rnns):
        for part in ("real", "imag"):
            lstm = getattr(layer, f"{part[:2]}_module").rnn
            put(state, f"rnn.lstm.{part}.{i}", lstm.state_dict())
    put_complex(state, "rnn.projection", recurrence.linear)
    return state


def put_block(state, prefix, block, conv):
    put_complex(state, f"{prefix}.conv", conv)
    real, imag = (
        part.state_dict()
        for part in (block.norm.re_module, block.norm.im_module)
    )
    count = "num_batches_tracked"
    joined = {
        name: torch.cat((real[name], imag[name]))
        for name in real
        if name != count
    }
    put(state, f"{prefix}.norm", joined | {count: real[count]})
    slopes = block.activation
    state[f"{prefix}.activation.weight"] = torch.cat(
        (slopes.re_module.weight, slopes.im_module.weight)
    )


def put_complex(state, prefix, module):
    real, imag = module.re_module, module.im_module
    state[f"{prefix}.weight_real"] = real.weight
    state[f"{prefix}.weight_imag"] = imag.weight
    if real.bias is not None:
        # (Wr a + br) - (Wi b + bi), and likewise br + bi.
        state[f"{prefix}.bias"] = torch.cat(
            (real.bias - imag.bias, real.bias + imag.bias)
        )


def test_numbers_of_parameters_are_equal(theirs, ours):
    assert count(theirs) == count(ours)


@torch.no_grad()
def test_masks_are_equal(theirs, ours):
    spec = theirs.forward_encoder(speech_like(16000)[:, None])
    expected = theirs.forward_masker(spec)[:, 0]
    stacked = torch.view_as_real(spec).movedim(-1, 1)
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

    spec = ours.stft(noisy)[:, :-1]
    weight = torch.ones(256, 1) / SCALE
    weight[0] /= np.sqrt(2)
    stacked = torch.view_as_real(spec * weight).movedim(-1, 1)
    mask, _ = ours.mask_net(stacked)
    masked = F.pad(ours.apply_mask(spec, mask), (0, 0, 0, 1))
    enhanced = ours.stft.inverse(masked, 16000)

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
    norm = "global" if norm_type == "gLN" else "cumulative"
    ours = ConvTasNet(norm=norm, mask=mask, **causal)
    ours.load_state_dict(converted_tasnet(theirs))
    return theirs.eval(), ours.eval()


def converted_tasnet(theirs):
    """Asteroid's weights under our names."""
    masker = theirs.masker
    state = {
        "encoder.weight": theirs.encoder.filterbank._filters,
        "decoder.weight": theirs.decoder.filterbank._filters,
    }
    put_norm(state, "bottleneck.0", masker.bottleneck[0])
    put(state, "bottleneck.1", masker.bottleneck[1].state_dict())
    put(state, "mask", masker.mask_net.state_dict())
    for i, block in enumerate(masker.TCN):
        expand, slope, norm, depthwise, slope_2, norm_2 = block.shared_block
        # A causal convolution is followed by a cut in a container.
        weights = getattr(depthwise, "0", depthwise).state_dict()
        put(state, f"blocks.{i}.expand.0", expand.state_dict())
        put(state, f"blocks.{i}.expand.1", slope.state_dict())
        put_norm(state, f"blocks.{i}.expand.2", norm)
        put(state, f"blocks.{i}.depthwise", weights)
        put(state, f"blocks.{i}.activation", slope_2.state_dict())
        put_norm(state, f"blocks.{i}.norm", norm_2)
        paths = block.res_conv.state_dict(), block.skip_conv.state_dict()
        joined = {
            name: torch.cat([p[name] for p in paths]) for name in paths[0]
        }
        put(state, f"blocks.{i}.project", joined)
    return state


def put_norm(state, prefix, norm):
    put(state, prefix, {"weight": norm.gamma, "bias": norm.beta})


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
