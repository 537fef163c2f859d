"""The response on both sides of the crossover against the reference."""

import adapters_numpy
import kd_numpy
import pytest
import torch

from speechbrain_dfkd.adapters import SpectralRolloff
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.frequency_adapter import FrequencyAdapter
from speechbrain_dfkd.losses import AdaptiveResponse, SpectrumResponse
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.stft import STFT

N_VALID = [6000, 3000, 4500]
LENGTHS = torch.tensor(N_VALID) / 6000


def adaptive(**options):
    return AdaptiveResponse(STFT(), SpectralRolloff(), **options)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    # Most of the energy below 2 kHz, where the roll-off then lies.
    teacher = 0.1 * torch.randn(3, 6000).cumsum(1).sin()
    return teacher + 0.05 * torch.randn(3, 6000), teacher


def run(loss, student, teacher):
    outputs = Enhanced(student, {}), Enhanced(teacher, {})
    return loss(*outputs, torch.zeros_like(teacher), LENGTHS)


@pytest.mark.parametrize(
    "compression, low_share, high_share, exponent",
    [(0.3, 0.3, 0.3, 0.0), (0.5, 1.0, 0.0, 0.5), (1.0, 0.0, 0.7, 1.0)],
)
def test_matches_the_reference(
    pair, compression, low_share, high_share, exponent
):
    loss, terms = run(
        adaptive(
            compression=compression,
            low_share=low_share,
            high_share=high_share,
            energy_exponent=exponent,
        ),
        *pair,
    )
    specs = [
        tuple(kd_numpy.cut_spectrum(wav[i].double().numpy(), n) for wav in pair)
        for i, n in enumerate(N_VALID)
    ]
    expected = kd_numpy.adaptive_response(
        specs,
        compression,
        low_share,
        high_share,
        exponent,
        lambda magnitudes: adapters_numpy.rolloff(magnitudes, 0.9),
    )
    found = [terms["l_low"].item(), terms["l_high"].item()]
    assert found == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(sum(expected), rel=1e-4)


def test_one_band_is_the_response_on_the_spectrum(pair):
    class Top(torch.nn.Module):
        """Puts every bin into the low band, and the last one into the high."""

        def forward(self, magnitudes):
            n_bins = magnitudes.shape[1]
            return magnitudes[:, 0].long() * 0 + n_bins - 1

    _, terms = run(AdaptiveResponse(STFT(), Top()), *pair)
    whole, _ = run(SpectrumResponse(STFT()), *pair)
    assert terms["l_low"].item() == pytest.approx(whole.item(), rel=1e-6)


def test_logs_a_crossover_for_each_valid_frame(pair):
    _, terms = run(adaptive(), *pair)
    frames = sum(-(-n // 128) for n in N_VALID)
    assert terms["crossover_histogram"].sum().item() == frames


def test_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 6, 4, dtype=torch.complex128)
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    stft = STFT(n_fft=10, hop_length=2)
    loss = AdaptiveResponse(
        stft, FrequencyAdapter(), 0.3, 0.8, 0.1, energy_exponent=0.5
    )
    assert torch.autograd.gradcheck(
        lambda spec: loss.compare(spec, teacher, valid)[0],
        student.requires_grad_(),
    )


@pytest.mark.parametrize(
    "wrong", [{"compression": 0.0}, {"low_share": 2}, {"high_share": -0.1}]
)
def test_arguments_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"{name} must be"):
        adaptive(**wrong)
