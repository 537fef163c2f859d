"""Types under autocast and without."""

import pytest
import torch

from speechbrain_dfkd.stft import full_precision, to_autocast


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_without_autocast_types_stay(device):
    x = torch.ones(2, 2, device=device)
    assert to_autocast(x) is x
    with full_precision(x.device):
        assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_input_has_the_type_that_autocast_computes_in(dtype):
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype):
        assert to_autocast(x).dtype == (x @ x).dtype == dtype
        with full_precision(x.device):
            assert to_autocast(x) is x


def test_an_lstm_takes_the_cast_input_on_any_cpu():
    lstm, x = torch.nn.LSTM(32, 16, bidirectional=True), torch.randn(5, 2, 32)
    exact = lstm(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = lstm(to_autocast(x))[0]
    assert half.dtype == torch.bfloat16
    assert half.float().allclose(exact, atol=0.02)
