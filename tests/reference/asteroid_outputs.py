"""What Asteroid's networks compute, kept so that tests need no Asteroid.

Asteroid's requirements are old and heavy. Its outputs lie in the folder
``asteroid``, one file a network: its arguments, the names and shapes of its
weights, and what it made of ``noisy()``. The weights themselves, and
``noisy()``, are a function of names and shapes: NumPy keeps the numbers of
``RandomState`` the same for ever. To write the files anew::

    pip install --no-deps asteroid asteroid-filterbanks
    python tests/reference/asteroid_outputs.py
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

FOLDER = Path(__file__).parent / "asteroid"
# Whole hops of all of them.
LENGTH = 800

TASNET = {
    "n_src": 1, "n_filters": 12, "kernel_size": 32, "stride": 16,
    "bn_chan": 8, "hid_chan": 10, "skip_chan": 6, "n_blocks": 3,
    "n_repeats": 2, "sample_rate": 16000, "mask_act": "relu",
}  # fmt: skip
DPTNET = {
    "n_src": 1, "n_filters": 8, "kernel_size": 16, "stride": 8, "n_heads": 2,
    "ff_hid": 6, "n_repeats": 2, "chunk_size": 10, "sample_rate": 16000,
}  # fmt: skip
DCCRN = {
    "architecture": "mini", "stft_n_filters": 64, "stft_kernel_size": 40,
    "stft_stride": 10,
}  # fmt: skip
NETWORKS = {
    "conv_tasnet": ("ConvTasNet", TASNET),
    "conv_tasnet_sigmoid": (
        "ConvTasNet",
        TASNET | {"mask_act": "sigmoid", "conv_kernel_size": 5},
    ),
    "conv_tasnet_cumulative": ("ConvTasNet", TASNET | {"norm_type": "cgLN"}),
    "conv_tasnet_causal": (
        "ConvTasNet",
        TASNET
        | {
            "norm_type": "cgLN",
            "causal": True,
            "kernel_size": 20,
            "stride": 10,
        },
    ),
    "dptnet": ("DPTNet", DPTNET),
    "dptnet_sigmoid": ("DPTNet", DPTNET | {"mask_act": "sigmoid"}),
    "dccrn": ("DCCRNet", DCCRN),
    "dccrn_half_a_window": ("DCCRNet", DCCRN | {"stft_stride": 20}),
    "dccrn_unbounded": ("DCCRNet", DCCRN | {"mask_bound": None}),
    "dccrn_cl": (
        "DCCRNet",
        DCCRN | {"architecture": "DCCRN-CL", "stft_n_filters": 128},
    ),
}


def noisy() -> torch.Tensor:
    """Return two waveforms of a falling spectrum, [2, LENGTH]."""
    noise = np.random.RandomState(1).standard_normal((2, LENGTH))
    falling = noise.cumsum(1) - noise.cumsum(1).mean(1, keepdims=True)
    return torch.from_numpy(0.01 * falling + 0.1 * noise).float()


def weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Return a state of these names and shapes, as if it were trained."""
    return {
        name: torch.as_tensor(_values(name, shape))
        for name, shape in shapes.items()
    }


def _values(name, shape):
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.int64(1)
    if name.endswith("running_var"):
        values = random.uniform(0.05, 0.2, shape)
    elif name.endswith(("bias", "beta", "bias_ih_l0", "bias_hh_l0", "mean")):
        values = random.normal(0, 0.1, shape)
    elif name.endswith("gamma") or (len(shape) == 1 and shape[0] > 1):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:  # the slope of a PReLU
        values = random.uniform(0.1, 0.4, shape)
    else:
        values = random.normal(0, np.prod(shape[1:]) ** -0.5, shape)
    return values.astype(np.float32)


def read(name: str) -> tuple[dict, dict, torch.Tensor]:
    """Return a network's arguments, its weights, and its output."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arguments, shapes = (
            json.loads(str(file[key])) for key in ("arguments", "shapes")
        )
        return arguments, weights(shapes), torch.from_numpy(file["output"])


def edge(arguments: dict) -> int:
    """Return the samples at either end that Asteroid treats otherwise.

    The frames of its STFT start at 0, where ours are centred.
    """
    return arguments.get("stft_kernel_size", 0)


@torch.no_grad()
def write(name: str) -> None:
    """Run Asteroid's network, and note what it makes of ``noisy()``."""
    from asteroid import models
    from asteroid.masknn import recurrent

    # It passes numpy integers, which today's nn.LSTM refuses.
    init = recurrent.DCCRMaskNetRNN.__init__
    recurrent.DCCRMaskNetRNN.__init__ = lambda self, size: init(self, int(size))
    network, arguments = NETWORKS[name]
    model = getattr(models, network)(**arguments).eval()
    recurrent.DCCRMaskNetRNN.__init__ = init
    state = model.state_dict()
    shapes = {key: list(value.shape) for key, value in state.items()}
    fixed = "filterbank" if network == "DCCRNet" else "torch_window"
    changed = {k: v for k, v in weights(shapes).items() if fixed not in k}
    model.load_state_dict(state | changed)
    half = edge(arguments) // 2
    padded = F.pad(noisy(), (half, half), mode="reflect")
    output = model(padded[:, None])[:, 0, half : half + LENGTH]
    assert (output - noisy()).norm() > 0.1 * noisy().norm(), name
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        arguments=json.dumps(model.get_model_args()),
        shapes=json.dumps(shapes),
        output=output.numpy(),
    )


if __name__ == "__main__":
    for each in NETWORKS:
        write(each)
