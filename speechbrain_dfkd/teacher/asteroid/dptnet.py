"""Asteroid's DPTNet as ours.

They differ where the waveform's length is not a whole number of frames, as in
``conv_tasnet``; every frame hears the additional one, up to 9e-3 there.
"""

import torch
from torch import Tensor

from speechbrain_dfkd.models import DPTNet
from speechbrain_dfkd.teacher.asteroid.arguments import (
    SAMPLE_RATES,
    check_arguments,
    complete_arguments,
)
from speechbrain_dfkd.teacher.asteroid.renaming import joined, renamed

NAME = "asteroid_dptnet"
NETWORK = DPTNet

_DEFAULTS = {
    "n_src": None, "n_heads": 4, "ff_hid": 256, "chunk_size": 100,
    "hop_size": None, "n_repeats": 6, "norm_type": "gLN",
    "ff_activation": "relu", "encoder_activation": "relu", "mask_act": "relu",
    "bidirectional": True, "dropout": 0, "in_chan": None, "fb_name": "free",
    "kernel_size": 16, "n_filters": 64, "stride": 8, "sample_rate": 8000,
}  # fmt: skip
_SIZES = {
    "n_filters": "n_filters",
    "kernel_size": "filter_length",
    "chunk_size": "chunk_size",
    "n_repeats": "blocks",
    "n_heads": "heads",
    "ff_hid": "lstm_units",
}
_NAMES = (
    (r"^(encoder|decoder)\.filterbank\._filters$", r"\1.weight"),
    (r"^masker\.in_norm\.", "norm."),
    (r"^masker\.layers\.(\d+)\.0\.", r"blocks.\1.intra."),
    (r"^masker\.layers\.(\d+)\.1\.", r"blocks.\1.inter."),
    (r"\.mha\.in_proj_", ".attention_in."),
    (r"\.mha\.out_proj\.", ".attention_out."),
    (r"\.norm_mha\.", ".attention_norm."),
    (r"\.norm_ff\.", ".norm."),
    (r"\.recurrent\.", ".lstm."),
    (r"\.linear\.", ".project."),
    (r"^masker\.first_out\.0\.", "activation."),
    (r"^masker\.first_out\.1\.", "project."),
    (r"^masker\.gate\.", "gate."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
# A pointwise convolution is a product of matrices.
_POINTWISE = ("project.weight", "gate.weight")


def settings(model_args: dict) -> dict:
    """Return the arguments of ``DPTNet`` that Asteroid's mean.

    Arguments
    ---------
    model_args : dict
        Those of Asteroid's ``DPTNet``. Its dropout plays no part in a
        teacher.

    Raises
    ------
    UserError
        Naming those that our network does not implement.

    Example
    -------
    >>> found = settings({"n_src": 1, "sample_rate": 16000, "n_repeats": 2})
    >>> found["blocks"], found["lstm_units"], found["mask"]
    (2, 256, 'relu')
    """
    given = complete_arguments(model_args, _DEFAULTS, _SIZES)
    check_arguments(
        given,
        {
            "n_src": (1,),
            "sample_rate": SAMPLE_RATES,
            "fb_name": ("free", "FreeFB"),
            "encoder_activation": ("relu",),
            "in_chan": (None, given["n_filters"]),
            "stride": (None, given["kernel_size"] // 2),
            "hop_size": (None, given["chunk_size"] // 2),
            "norm_type": ("gLN",),
            "ff_activation": ("relu",),
            "bidirectional": (True,),
            "mask_act": ("relu", "sigmoid"),
        },
    )
    sizes = {ours: given[theirs] for theirs, ours in _SIZES.items()}
    return {**sizes, "mask": given["mask_act"]}


def weights(state: dict[str, Tensor], settings: dict) -> dict[str, Tensor]:
    """Return Asteroid's weights under the names of ``DPTNet``.

    Arguments
    ---------
    state : dict of str to Tensor
        The ``state_dict`` of Asteroid's ``DPTNet``.
    settings : dict
        Of our network; its weights do not depend on them.
    """
    gates = ".net_out.0.", ".net_gate.0."
    state = joined(state, r"\.net_out\.", gates, ".gate.", torch.cat)
    return {
        name: value.flatten(1) if name in _POINTWISE else value
        for name, value in renamed(state, _NAMES).items()
    }
