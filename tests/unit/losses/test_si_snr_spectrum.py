"""The supervised loss on waveform and spectrum: its one STFT."""

import pytest
import torch

from speechbrain_dfkd.losses import si_snr_spectrum_loss
from speechbrain_dfkd.losses.supervised import _spectrum_response
from speechbrain_dfkd.stft import STFT

LENGTHS = torch.tensor([1.0, 0.6])


@pytest.fixture
def wavs():
    torch.manual_seed(0)
    return torch.randn(2, 2, 3001)


def test_makes_its_window_once(wavs, monkeypatch):
    expected = si_snr_spectrum_loss(*wavs, LENGTHS)
    monkeypatch.setattr(torch, "hann_window", None)
    monkeypatch.setattr(STFT, "__init__", None)
    assert si_snr_spectrum_loss(*wavs, LENGTHS).equal(expected)


def test_trains_after_a_first_use_in_inference(wavs):
    _spectrum_response.cache_clear()
    with torch.inference_mode():
        expected = si_snr_spectrum_loss(*wavs, LENGTHS)
    estimate = wavs[0].clone().requires_grad_()
    value = si_snr_spectrum_loss(estimate, wavs[1], LENGTHS)
    value.backward()
    assert value.item() == expected.item()
    assert estimate.grad.isfinite().all() and estimate.grad.any()
