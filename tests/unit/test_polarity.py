"""A student starts with the polarity of what it follows."""

import numpy as np
import pytest
import torch
from torch import nn

from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN, ConvTasNet, DPTNet
from speechbrain_dfkd.polarity import align, correlation, mean_correlation

FAMILIES = {
    "dccrn_E": lambda: DCCRN((2, 4), 3, mask="E"),
    "dccrn_C": lambda: DCCRN((2, 4), 3, mask="C"),
    "dccrn_R": lambda: DCCRN((2, 4), 3, mask="R"),
    "conv_tasnet": lambda: ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1),
    "dptnet": lambda: DPTNet(8, 16, 20, blocks=1, heads=2, lstm_units=4),
}


def reference(wav, target):
    """The cosine of two waveforms in numpy."""
    return wav @ target / np.sqrt((wav @ wav) * (target @ target))


def test_reference_of_known_angles():
    wav = np.array([1.0, 0.0])
    assert reference(wav, np.array([0.5, 0.0])) == 1
    assert reference(wav, np.array([0.0, 3.0])) == 0
    assert reference(wav, np.array([-1.0, 1.0])) == pytest.approx(-(0.5**0.5))


def test_correlation_is_that_of_numpy_whatever_the_padding():
    rng = np.random.default_rng(0)
    wav, target = rng.standard_normal((2, 3, 50))
    samples = [50, 20, 35]
    own = [
        reference(w[:n], t[:n])
        for w, t, n in zip(wav, target, samples, strict=True)
    ]
    lengths = torch.tensor(samples) / 50
    found = correlation(torch.tensor(wav), torch.tensor(target), lengths)
    assert found.numpy() == pytest.approx(np.array(own), abs=1e-6)


def test_silence_has_no_polarity():
    silence, wav = torch.zeros(1, 9), torch.ones(1, 9)
    one = torch.ones(1)
    assert correlation(silence, wav, one) == correlation(wav, silence, one) == 0


def test_the_mean_is_over_items_not_batches():
    wav = torch.ones(1, 4)
    batches = [
        (wav, wav, torch.ones(1)),
        (-wav.expand(3, 4), wav.expand(3, 4), torch.ones(3)),
    ]
    assert mean_correlation(lambda batch: batch, batches) == -0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_negated_network_puts_out_the_negative(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    noisy = torch.randn(2, 2000)
    with torch.no_grad():
        before = model(noisy).wav
        model.negate()
        after = model(noisy).wav
    assert before.abs().max() > 1e-3
    assert after.allclose(-before, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_si_snr_learns_the_negated_network_alike(family):
    """So nothing but the polarity of a training alone depends on it."""
    torch.manual_seed(0)
    model, noisy, clean = FAMILIES[family](), *torch.randn(2, 2, 2000)

    def gradients():
        model.zero_grad()
        loss = si_snr_loss(model(noisy).wav, clean, torch.ones(2))
        loss.backward()
        return loss, [weight.grad.clone() for weight in model.parameters()]

    before = gradients()
    model.negate()
    after = gradients()
    assert after[0].item() == pytest.approx(before[0].item(), rel=1e-5)
    for old, new in zip(before[1], after[1], strict=True):
        assert new.abs().allclose(old.abs(), rtol=1e-3, atol=1e-6)


class Negatable(nn.Module):
    sign = 1

    def negate(self):
        self.sign = -self.sign


@pytest.mark.parametrize(("value", "sign"), [(0.1, 1), (0.0, 1), (-0.1, -1)])
def test_only_an_inverted_student_is_negated(value, sign, capsys):
    student = Negatable()
    align(student, value)
    assert student.sign == sign
    printed = capsys.readouterr().out
    assert ("is -0.1; the student was negated" in printed) == (sign < 0)


def test_a_network_that_cannot_be_negated_is_left_and_named(capsys):
    align(nn.Linear(1, 1), -0.3)
    printed = capsys.readouterr().out
    assert "left as it is, for lack of a method negate()" in printed
    assert "supervised_loss to snr_loss" in printed
