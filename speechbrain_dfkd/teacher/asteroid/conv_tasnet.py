"""Asteroid's ConvTasNet as ours.

They differ where the waveform's length is not a whole number of frames:
Asteroid leaves the last samples out and returns zeros for them, ours pads.
With global layer norm the additional frame changes the statistics too: with
random weights, one sample more makes up to 3e-2 of the level on 2 s of noisy
speech. Crops of whole frames, 4 s for example, give the same to 1e-6.
"""

import torch
from torch import Tensor

from speechbrain_dfkd.models import ConvTasNet
from speechbrain_dfkd.teacher.asteroid.arguments import (
    SAMPLE_RATES,
    check_arguments,
    complete_arguments,
)
from speechbrain_dfkd.teacher.asteroid.renaming import joined, renamed

NAME = "asteroid_conv_tasnet"
NETWORK = ConvTasNet

_DEFAULTS = {
    "n_src": None, "out_chan": None, "n_blocks": 8, "n_repeats": 3,
    "bn_chan": 128, "hid_chan": 512, "skip_chan": 128, "conv_kernel_size": 3,
    "norm_type": "gLN", "mask_act": "sigmoid", "in_chan": None,
    "causal": False, "fb_name": "free", "kernel_size": 16, "n_filters": 512,
    "stride": 8, "encoder_activation": None, "sample_rate": 8000,
}  # fmt: skip
_SIZES = {
    "n_filters": "n_filters",
    "kernel_size": "filter_length",
    "bn_chan": "bottleneck_channels",
    "hid_chan": "hidden_channels",
    "skip_chan": "skip_channels",
    "conv_kernel_size": "kernel_size",
    "n_blocks": "blocks",
    "n_repeats": "repeats",
}
_NORMS = {"gLN": "global", "cgLN": "cumulative"}
_BLOCK = r"^(blocks\.\d+)\."
_NAMES = (
    (r"^(encoder|decoder)\.filterbank\._filters$", r"\1.weight"),
    (r"^masker\.bottleneck\.", "bottleneck."),
    (r"^masker\.mask_net\.", "mask."),
    (r"^masker\.TCN\.(\d+)\.(shared_block\.)?", r"blocks.\1."),
    (_BLOCK + r"([012])\.", r"\1.expand.\2."),
    # A causal convolution is followed by a cut, in a container.
    (_BLOCK + r"3\.(0\.)?", r"\1.depthwise."),
    (_BLOCK + r"4\.", r"\1.activation."),
    (_BLOCK + r"5\.", r"\1.norm."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)


def settings(model_args: dict) -> dict:
    """Return the arguments of ``ConvTasNet`` that Asteroid's mean.

    Arguments
    ---------
    model_args : dict
        Those of Asteroid's ``ConvTasNet``.

    Raises
    ------
    UserError
        Naming those that our network does not implement.

    Example
    -------
    >>> found = settings(
    ...     {
    ...         "n_src": 1,
    ...         "kernel_size": 32,
    ...         "stride": 16,
    ...         "sample_rate": 16000,
    ...         "mask_act": "relu",
    ...     }
    ... )
    >>> found["filter_length"], found["blocks"], found["norm"], found["mask"]
    (32, 8, 'global', 'relu')
    """
    given = complete_arguments(model_args, _DEFAULTS, _SIZES)
    check_arguments(
        given,
        {
            "n_src": (1,),
            "sample_rate": SAMPLE_RATES,
            "fb_name": ("free", "FreeFB"),
            "encoder_activation": (None, "linear"),
            "in_chan": (None, given["n_filters"]),
            "out_chan": (None, given["n_filters"]),
            "stride": (None, given["kernel_size"] // 2),
            "mask_act": ("sigmoid", "relu"),
            "causal": (False, True),
            # Asteroid replaces a global norm in a causal network.
            "norm_type": ("cgLN",) if given["causal"] else tuple(_NORMS),
        },
    )
    return {
        **{ours: given[theirs] for theirs, ours in _SIZES.items()},
        "norm": _NORMS[given["norm_type"]],
        "mask": given["mask_act"],
        "causal": given["causal"],
    }


def weights(state: dict[str, Tensor], settings: dict) -> dict[str, Tensor]:
    """Return Asteroid's weights under the names of ``ConvTasNet``.

    Arguments
    ---------
    state : dict of str to Tensor
        The ``state_dict`` of Asteroid's ``ConvTasNet``.
    settings : dict
        Of our network; its weights do not depend on them.
    """
    paths = ".res_conv.", ".skip_conv."
    state = joined(state, r"\.res_conv\.", paths, ".project.", torch.cat)
    return renamed(state, _NAMES)
