"""The size of a model, and its cost for each second of audio."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

FLOPS_PER_MAC = 2


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, trainable or not; shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs_per_second(
    model: nn.Module, sample_rate: int = 16000, seconds: float = 1.0
) -> float:
    """Return the multiply-accumulates for a second of audio at batch 1.

    The products are counted as they are executed, by running a copy of the
    model in eval mode on the CPU: convolutions (also transposed), linear
    layers, products of matrices such as attention, and the input and recurrent
    products of LSTM and GRU. Not counted are element-wise operations (biases,
    activations, norms, masks), products of a matrix with a vector tensor, and
    FFTs. A complex product counts four. What the edges of the signal cost is
    part of the result: more ``seconds`` come closer to the limit.

    Example
    -------
    >>> sample_by_sample = nn.Sequential(
    ...     nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 3, padding=1)
    ... )
    >>> macs_per_second(sample_by_sample)  # 16000 outputs x 4 channels x 3
    192000.0
    """
    twin = copy.deepcopy(model).cpu().eval()
    # A fixed signal, and no draw from the global random state.
    noise = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, round(sample_rate * seconds), generator=noise)
    with _plain_kernels(), FlopCounterMode(display=False) as counter:
        twin(0.1 * noisy)
    return counter.get_total_flops() / FLOPS_PER_MAC / seconds


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Split fused layers into the products that FlopCounterMode knows.

    It sees no product within oneDNN's LSTM, within the CPU's fused attention
    or within the fast path of nn.TransformerEncoderLayer.
    """
    mha, mkldnn = torch.backends.mha, torch.backends.mkldnn
    fast_path = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    # None leaves the other two flags of oneDNN as they are.
    plain = mkldnn.flags(enabled=False, deterministic=None, allow_tf32=None)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), plain:
            yield
    finally:
        mha.set_fastpath_enabled(fast_path)
