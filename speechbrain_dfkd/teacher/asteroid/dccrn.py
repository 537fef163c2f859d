"""Asteroid's DCCRNet as our DCCRN.

Asteroid's STFT scales the spectrum, which the first convolution's weights
take over, and bin 0 once more, for which ours has ``dc_gain``. What stays is
at the edges: Asteroid's first frame starts at sample 0 where ours is centred
there, so that ours has ``win_length / hop_length`` frames more, and Asteroid
lets its output fade in and out over a window where ours restores the level.
On 4 s of noisy speech both are equal to 1e-6 from 0.25 s after the start to
0.25 s before the end; nearer, but 25 ms from the edges, the LSTM's memory of
those frames makes up to 4e-3 of the level. (With random weights: a trained
network may remember for longer.) Without ``dc_gain`` it would be up to 3e-2
everywhere, by the noise below 60 Hz.
"""

import math

import torch
from torch import Tensor

from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.teacher.asteroid.arguments import (
    SAMPLE_RATES,
    check_arguments,
    complete_arguments,
)
from speechbrain_dfkd.teacher.asteroid.renaming import joined, renamed

NAME = "asteroid_dccrn"
NETWORK = DCCRN

_CHANNELS = {"DCCRN-CL": [16, 32, 64, 128, 128, 128], "mini": [4, 8]}
_DEFAULTS = {
    "architecture": None, "stft_n_filters": 512, "stft_kernel_size": 400,
    "stft_stride": 100, "sample_rate": 16000, "n_freqs": None, "n_src": 1,
    "mask_bound": "tanh",
}  # fmt: skip
_SIZES = {
    "stft_n_filters": "n_fft",
    "stft_kernel_size": "win_length",
    "stft_stride": "hop_length",
}
_MASKS = {"tanh": "E", "BDT": "E", None: "C", "UBD": "C"}
_FILTERS = (
    "encoder.filterbank._filters", "encoder.filterbank.torch_window",
    "decoder.filterbank._filters", "decoder.filterbank.torch_window",
)  # fmt: skip
_FIRST = "mask_net.encoder.0.conv.weight"
_PAIR = ".re_module.", ".im_module."
_RECURRENCE = r"^masker\.encoders\.\d+"
_NAMES = (
    (_RECURRENCE + r"\.rnn\.rnns\.(\d+)\.re_module\.rnn", r"rnn.lstm.real.\1"),
    (_RECURRENCE + r"\.rnn\.rnns\.(\d+)\.im_module\.rnn", r"rnn.lstm.imag.\1"),
    (_RECURRENCE + r"\.linear\.", "rnn.projection."),
    (r"^masker\.encoders\.", "encoder."),
    # Its decoder 0 does nothing.
    (r"^masker\.decoders\.(\d+)", lambda m: f"decoder.{int(m[1]) - 1}"),
    (r"\.deconv\.", ".conv."),
    (r"\.re_module\.weight$", ".weight_real"),
    (r"\.im_module\.weight$", ".weight_imag"),
    (r"^(encoder|rnn|decoder)\.", r"mask_net.\1."),
)


def settings(model_args: dict) -> dict:
    """Return the arguments of ``DCCRN`` that Asteroid's mean.

    Arguments
    ---------
    model_args : dict
        Those of Asteroid's ``DCCRNet``.

    Raises
    ------
    UserError
        Naming those that our network does not implement.

    Example
    -------
    >>> found = settings({"architecture": "DCCRN-CL"})
    >>> found["channels"], found["window"], found["mask"]
    ([16, 32, 64, 128, 128, 128], 'sqrt_hann', 'E')
    """
    given = complete_arguments(model_args, _DEFAULTS, _SIZES)
    window = given["stft_kernel_size"]
    check_arguments(
        given,
        {
            "architecture": tuple(_CHANNELS),
            "n_src": (1,),
            "sample_rate": SAMPLE_RATES,
            "n_freqs": (None, given["stft_n_filters"] // 2),
            # With others, its overlapping windows sum to no constant.
            "stft_stride": [
                n for n in range(1, window // 2 + 1) if window % n == 0
            ],
            "mask_bound": tuple(_MASKS),
        },
    )
    return {
        "channels": _CHANNELS[given["architecture"]],
        "lstm_units": 128,
        "mask": _MASKS[given["mask_bound"]],
        "time_padding": "none",
        "window": "sqrt_hann",
        "dropped_bin": "nyquist",
        "dc_gain": math.sqrt(0.5),
        **{ours: given[theirs] for theirs, ours in _SIZES.items()},
    }


def weights(state: dict[str, Tensor], settings: dict) -> dict[str, Tensor]:
    """Return Asteroid's weights under the names of ``DCCRN``.

    Arguments
    ---------
    state : dict of str to Tensor
        The ``state_dict`` of Asteroid's ``DCCRNet``.
    settings : dict
        Of our network; its STFT's sizes give the scale of Asteroid's.
    """
    state = {key: state[key] for key in state if key not in _FILTERS}
    norm, bias = r"\.norm\.re_module\.", r"\.re_module\.bias$"
    slopes = r"\.activation\.re_module\."
    counted = norm + "num_batches_tracked$"
    state = joined(state, counted, _PAIR, ".", lambda pair: pair[0])
    state = joined(state, f"{norm}|{slopes}", _PAIR, ".", torch.cat)
    state = joined(state, bias, _PAIR, ".", _complex_bias)
    last = f"decoder.{len(settings['channels']) - 1}."
    state = renamed(state, ((r"^masker\.output_layer\.0\.", last), *_NAMES))
    scale = _spectrum_scale(settings)
    return {
        key: value / scale if key.startswith(_FIRST) else value
        for key, value in state.items()
    }


def _complex_bias(pair):
    """(Wr a + br) - (Wi b + bi) and its imaginary part have one bias each."""
    real, imag = pair
    return torch.cat((real - imag, real + imag))


def _spectrum_scale(settings):
    """Return our spectrum over Asteroid's, in all bins but bin 0."""
    window, n_fft = settings["win_length"], settings["n_fft"]
    return 0.5 * math.sqrt(window * n_fft / settings["hop_length"])
