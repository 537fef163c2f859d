"""Asteroid's arguments in ours; those that we lack are refused by name."""

import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher.asteroid import conv_tasnet, dccrn, dptnet

RATE = {"n_src": 1, "sample_rate": 16000.0}
# Not one value is a default, here or there.
CONV_TASNET = {
    "fb_name": "FreeFB", "n_filters": 30, "kernel_size": 20, "stride": 10,
    "in_chan": 30, "out_chan": 30, "bn_chan": 5, "hid_chan": 7, "skip_chan": 9,
    "conv_kernel_size": 5, "n_blocks": 3, "n_repeats": 2, "norm_type": "cgLN",
    "mask_act": "relu", "causal": True, "encoder_activation": "linear", **RATE,
}  # fmt: skip
DPTNET = {
    "fb_name": "FreeFB", "n_filters": 12, "kernel_size": 20, "stride": 10,
    "in_chan": 12, "ff_hid": 5, "n_heads": 3, "chunk_size": 8, "hop_size": 4,
    "n_repeats": 2, "dropout": 0.1, "mask_act": "sigmoid", **RATE,
}  # fmt: skip
DCCRNET = {
    "architecture": "mini", "stft_n_filters": 256, "stft_kernel_size": 200,
    "stft_stride": 50, "n_freqs": 128, "mask_bound": None, **RATE,
}  # fmt: skip


def test_conv_tasnet():
    assert conv_tasnet.settings(CONV_TASNET) == {
        "n_filters": 30,
        "filter_length": 20,
        "bottleneck_channels": 5,
        "hidden_channels": 7,
        "skip_channels": 9,
        "kernel_size": 5,
        "blocks": 3,
        "repeats": 2,
        "norm": "cumulative",
        "mask": "relu",
        "causal": True,
    }


def test_dptnet():
    assert dptnet.settings(DPTNET) == {
        "n_filters": 12,
        "filter_length": 20,
        "chunk_size": 8,
        "blocks": 2,
        "heads": 3,
        "lstm_units": 5,
        "mask": "sigmoid",
    }


def test_dccrn():
    found = dccrn.settings(DCCRNET)
    sizes = found["n_fft"], found["win_length"], found["hop_length"]
    assert sizes == (256, 200, 50)
    assert (found["channels"], found["mask"]) == ([4, 8], "C")
    assert found["dc_gain"] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [(conv_tasnet, CONV_TASNET), (dptnet, DPTNET), (dccrn, DCCRNET)],
)
def test_network_takes_its_settings(family, arguments):
    with torch.device("meta"):
        family.network(**family.settings(arguments))


@pytest.mark.parametrize(
    ("family", "arguments", "changes"),
    [
        (conv_tasnet, CONV_TASNET, {"n_src": 2}),
        (conv_tasnet, CONV_TASNET, {"sample_rate": 8000}),
        (conv_tasnet, CONV_TASNET, {"fb_name": "STFTFB"}),
        (conv_tasnet, CONV_TASNET, {"encoder_activation": "relu"}),
        (conv_tasnet, CONV_TASNET, {"stride": 5}),
        (conv_tasnet, CONV_TASNET, {"out_chan": 29}),
        (conv_tasnet, CONV_TASNET, {"norm_type": "gLN"}),  # as it is causal
        (conv_tasnet, CONV_TASNET, {"norm_type": "cLN", "causal": False}),
        (conv_tasnet, CONV_TASNET, {"mask_act": "softmax"}),
        (conv_tasnet, CONV_TASNET, {"skip_chan": None}),
        (conv_tasnet, CONV_TASNET, {"kernel_size": None}),
        (conv_tasnet, CONV_TASNET, {"n_bands": 2}),
        (dptnet, DPTNET, {"hop_size": 2}),
        (dptnet, DPTNET, {"bidirectional": False}),
        (dptnet, DPTNET, {"norm_type": "cLN"}),
        (dptnet, DPTNET, {"ff_activation": "gelu"}),
        (dptnet, DPTNET, {"encoder_activation": None}),
        (dccrn, DCCRNET, {"architecture": "DCCRN-E"}),
        (dccrn, DCCRNET, {"n_freqs": 129}),
        (dccrn, DCCRNET, {"stft_stride": 60}),
        (dccrn, DCCRNET, {"mask_bound": "sigmoid"}),
        (dccrn, DCCRNET, {"sample_rate": None}),
    ],
)
def test_what_we_lack_is_named(family, arguments, changes):
    with pytest.raises(UserError) as caught:
        family.settings(arguments | changes)
    key, value = next(iter(changes.items()))
    assert f"  {key}: {value!r}" in str(caught.value)


def test_an_absent_rate_is_asteroids_default():
    with pytest.raises(UserError, match="sample_rate: 8000"):
        conv_tasnet.settings({"n_src": 1, "kernel_size": 32, "stride": 16})


def test_an_absent_norm_of_a_causal_network_is_one_that_we_lack():
    # Asteroid puts one over channels in the place of its default.
    with pytest.raises(UserError, match="norm_type: 'gLN', not 'cgLN'"):
        conv_tasnet.settings({"n_src": 1, "causal": True, **RATE})
