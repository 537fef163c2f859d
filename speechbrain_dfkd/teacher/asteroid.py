"""Teachers from the files that Asteroid publishes; Asteroid is not needed."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.models import DCCRN, ConvTasNet, DPTNet
from speechbrain_dfkd.settings.tree import parse_tree
from speechbrain_dfkd.teacher.trained_network import differences


@dataclass(frozen=True)
class Family:
    """How one of Asteroid's networks becomes one of ours."""

    name: str  # in the names of result folders
    network: type[nn.Module]
    # Asteroid's positive integers: (ours, Asteroid's default).
    sizes: Mapping[str, tuple[str, int]]
    # Its other arguments that we know, and their values, the default first,
    allowed: Callable[[dict], Mapping[str, Sequence]]
    defaults: Mapping  # unless it is one of these
    other_settings: Callable[[dict], dict]  # arguments of ours beside sizes
    weights: Callable[[dict, dict], dict]  # (Asteroid's, settings) -> ours

    def settings(self, model_args: Mapping) -> dict:
        """Return our network's arguments; a UserError names what it lacks."""
        given = {name: default for name, (_, default) in self.sizes.items()}
        given |= {**self.defaults, **model_args}
        problems = [
            f"{name}: {given[name]!r}, not a positive integer"
            for name in self.sizes
            if not isinstance(given[name], int) or given[name] < 1
        ]
        if not problems:
            allowed = {"n_src": (1,), "sample_rate": (16000,)}
            allowed |= self.allowed(given)
            absent = allowed.keys() - given.keys()
            given |= {name: allowed[name][0] for name in absent}
            problems = [
                f"{name}: {value!r}, which we do not know"
                for name, value in given.items()
                if name not in allowed and name not in self.sizes
            ]
            problems += [
                f"{name}: {given[name]!r}, not {' or '.join(map(repr, values))}"
                for name, values in allowed.items()
                if given[name] not in values
            ]
        if problems:
            raise UserError(
                f"its arguments must be those of a network that we have, got\n"
                f"{listing(problems)}\nchoose a checkpoint without them"
            )
        sizes = {ours: given[name] for name, (ours, _) in self.sizes.items()}
        return {**sizes, **self.other_settings(given)}


def renamed(state: dict, rules: Sequence[tuple]) -> dict:
    """Return a ``state_dict`` under other names, (pattern, name) in turn."""
    names = dict(zip(state, state, strict=True))
    for pattern, replacement in rules:
        names = {k: re.sub(pattern, replacement, v) for k, v in names.items()}
    return {names[name]: value for name, value in state.items()}


def joined(
    state: dict,
    pattern: str,
    parts: tuple[str, str],
    name: str,
    join: Callable[[Sequence[Tensor]], Tensor],
) -> dict:
    """Join entries whose names match, but for ``parts``, under ``name``."""
    state, first, second = dict(state), *parts
    for one in [key for key in state if re.search(pattern, key)]:
        two = one.replace(first, second)
        if first in one and two in state:
            pair = state.pop(one), state.pop(two)
            state[one.replace(first, name)] = join(pair)
    return state


_CONV_TASNET_NORMS = {"gLN": "global", "cgLN": "cumulative"}
_FILTERBANK = (r"^(encoder|decoder)\.filterbank\._filters$", r"\1.weight")
_NORM = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))
_BLOCK = r"^(blocks\.\d+)\."
_CONV_TASNET_NAMES = (
    _FILTERBANK,
    (r"^masker\.bottleneck\.", "bottleneck."),
    (r"^masker\.mask_net\.", "mask."),
    (r"^masker\.TCN\.(\d+)\.(shared_block\.)?", r"blocks.\1."),
    (_BLOCK + r"([012])\.", r"\1.expand.\2."),
    # A causal convolution is followed by a cut, in a container.
    (_BLOCK + r"3\.(0\.)?", r"\1.depthwise."),
    (_BLOCK + r"4\.", r"\1.activation."),
    (_BLOCK + r"5\.", r"\1.norm."),
    *_NORM,
)


def _conv_tasnet_weights(state: dict, settings: dict) -> dict:
    paths = ".res_conv.", ".skip_conv."
    state = joined(state, r"\.res_conv\.", paths, ".project.", torch.cat)
    return renamed(state, _CONV_TASNET_NAMES)


conv_tasnet = Family(
    name="asteroid_conv_tasnet",
    network=ConvTasNet,
    sizes={
        "n_filters": ("n_filters", 512),
        "kernel_size": ("filter_length", 16),
        "bn_chan": ("bottleneck_channels", 128),
        "hid_chan": ("hidden_channels", 512),
        "skip_chan": ("skip_channels", 128),
        "conv_kernel_size": ("kernel_size", 3),
        "n_blocks": ("blocks", 8),
        "n_repeats": ("repeats", 3),
    },
    defaults={
        "n_src": None,
        "sample_rate": 8000,
        "stride": 8,
        "norm_type": "gLN",
    },
    allowed=lambda given: {
        "fb_name": ("free", "FreeFB"),
        "encoder_activation": (None, "linear"),
        "in_chan": (None, given["n_filters"]),
        "out_chan": (None, given["n_filters"]),
        "stride": (None, given["kernel_size"] // 2),
        "mask_act": ("sigmoid", "relu"),
        "causal": (False, True),
        # Asteroid replaces a global norm in a causal network.
        "norm_type": ("cgLN",) if given.get("causal") else ("gLN", "cgLN"),
    },
    other_settings=lambda given: {
        "norm": _CONV_TASNET_NORMS[given["norm_type"]],
        "mask": given["mask_act"],
        "causal": given["causal"],
    },
    weights=_conv_tasnet_weights,
)

_DPTNET_NAMES = (
    _FILTERBANK,
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
    *_NORM,
)
# A pointwise convolution is a product of matrices.
_POINTWISE = ("project.weight", "gate.weight")


def _dptnet_weights(state: dict, settings: dict) -> dict:
    gates = ".net_out.0.", ".net_gate.0."
    state = joined(state, r"\.net_out\.", gates, ".gate.", torch.cat)
    return {
        name: value.flatten(1) if name in _POINTWISE else value
        for name, value in renamed(state, _DPTNET_NAMES).items()
    }


dptnet = Family(
    name="asteroid_dptnet",
    network=DPTNet,
    sizes={
        "n_filters": ("n_filters", 64),
        "kernel_size": ("filter_length", 16),
        "chunk_size": ("chunk_size", 100),
        "n_repeats": ("blocks", 6),
        "n_heads": ("heads", 4),
        "ff_hid": ("lstm_units", 256),
    },
    defaults={"n_src": None, "sample_rate": 8000, "stride": 8},
    allowed=lambda given: {
        "fb_name": ("free", "FreeFB"),
        "encoder_activation": ("relu",),
        "in_chan": (None, given["n_filters"]),
        "stride": (None, given["kernel_size"] // 2),
        "hop_size": (None, given["chunk_size"] // 2),
        "norm_type": ("gLN",),
        "ff_activation": ("relu",),
        "bidirectional": (True,),
        "mask_act": ("relu", "sigmoid"),
        "dropout": (given.get("dropout"),),  # plays no part in a teacher
    },
    other_settings=lambda given: {"mask": given["mask_act"]},
    weights=_dptnet_weights,
)

_DCCRN_CHANNELS = {"DCCRN-CL": [16, 32, 64, 128, 128, 128], "mini": [4, 8]}
_DCCRN_MASKS = {"tanh": "E", "BDT": "E", None: "C", "UBD": "C"}
_FILTERS = r"^(en|de)coder\.filterbank\.(_filters|torch_window)$"
_FIRST = "mask_net.encoder.0.conv.weight"
_RECURRENCE = r"^masker\.encoders\.\d+"
_DCCRN_NAMES = (
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


def _dccrn_weights(state: dict, settings: dict) -> dict:
    def complex_bias(pair: tuple[Tensor, Tensor]) -> Tensor:
        # (Wr a + br) - (Wi b + bi) and its imaginary part have one bias each.
        real, imag = pair
        return torch.cat((real - imag, real + imag))

    state = {k: v for k, v in state.items() if not re.match(_FILTERS, k)}
    pair = ".re_module.", ".im_module."
    norm, bias = r"\.norm\.re_module\.", r"\.re_module\.bias$"
    slopes = r"\.activation\.re_module\."
    counted = norm + "num_batches_tracked$"
    state = joined(state, counted, pair, ".", lambda both: both[0])
    state = joined(state, f"{norm}|{slopes}", pair, ".", torch.cat)
    state = joined(state, bias, pair, ".", complex_bias)
    last = f"decoder.{len(settings['channels']) - 1}."
    last_layer = (r"^masker\.output_layer\.0\.", last)
    state = renamed(state, (last_layer, *_DCCRN_NAMES))
    # Our spectrum over Asteroid's, in all bins but bin 0.
    window, n_fft = settings["win_length"], settings["n_fft"]
    scale = 0.5 * math.sqrt(window * n_fft / settings["hop_length"])
    return {
        key: value / scale if key.startswith(_FIRST) else value
        for key, value in state.items()
    }


dccrn = Family(
    name="asteroid_dccrn",
    network=DCCRN,
    sizes={
        "stft_n_filters": ("n_fft", 512),
        "stft_kernel_size": ("win_length", 400),
        "stft_stride": ("hop_length", 100),
    },
    defaults={"architecture": None},
    allowed=lambda given: {
        "architecture": tuple(_DCCRN_CHANNELS),
        "n_freqs": (None, given["stft_n_filters"] // 2),
        # With others, its overlapping windows sum to no constant.
        "stft_stride": [
            n
            for n in range(1, given["stft_kernel_size"] // 2 + 1)
            if given["stft_kernel_size"] % n == 0
        ],
        "mask_bound": tuple(_DCCRN_MASKS),
    },
    other_settings=lambda given: {
        "channels": _DCCRN_CHANNELS[given["architecture"]],
        "lstm_units": 128,
        "mask": _DCCRN_MASKS[given["mask_bound"]],
        "time_padding": "none",
        "window": "sqrt_hann",
        "dropped_bin": "nyquist",
        "dc_gain": math.sqrt(0.5),
    },
    weights=_dccrn_weights,
)

# By Asteroid's class.
FAMILIES = {"ConvTasNet": conv_tasnet, "DCCRNet": dccrn, "DPTNet": dptnet}


def read_asteroid(
    content: dict, path: Path
) -> tuple[Mapping, dict[str, Tensor]]:
    """Return a network, as ``hparams/models/`` describe it, and its weights."""
    try:
        return _network(content, path)
    except ValueError as error:  # of the arguments, or of the network itself
        raise UserError(
            f"teacher_ckpt must be an Asteroid checkpoint whose network we "
            f"have, for one source at 16000 Hz, got {path}: {error}"
        ) from error


def _network(content: dict, path: Path) -> tuple[Mapping, dict]:
    family = FAMILIES.get(str(content["model_name"]))
    if family is None:
        raise UserError(
            f"its model_name must be one of {', '.join(FAMILIES)}, got "
            f"{content['model_name']!r}; choose another checkpoint"
        )
    theirs, model_args = content["state_dict"], content.get("model_args")
    dicts = isinstance(model_args, dict) and isinstance(theirs, dict)
    if not dicts or not all(isinstance(v, Tensor) for v in theirs.values()):
        raise UserError(
            "it must hold model_args and a state_dict of tensors, got "
            "something else in their place; save it with Asteroid's "
            "torch.save(model.serialize(), path)"
        )
    settings = family.settings(model_args)
    weights = family.weights(theirs, settings)
    with torch.device("meta"):
        own = family.network(**settings).state_dict()
    if problems := differences(weights, own):
        raise UserError(
            f"its weights must be those of the network that its model_args "
            f"describe (here by our names), got\n{listing(problems, 5)}\n"
            f"download it again"
        )
    # It is trained already, so that no leaf has to.
    network = {"name": family.name, "teacher_leaf": None, **settings}
    tag = f"!new:speechbrain_dfkd.models.{family.network.__name__}"
    text = f"{json.dumps(network)[:-1]}, model: {tag} {json.dumps(settings)}}}"
    return parse_tree(text, str(path)), weights
