"""Sign and level of what networks put out, against the clean speech."""

import numpy as np
import pytest
import torch
from torch import nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.models import DCCRN, ConvTasNet, DPTNet
from speechbrain_dfkd.training.student_start import (
    align,
    correlation,
    level_of_speech,
    mean_correlation,
    teacher_scale,
)

FAMILIES = {
    "dccrn_E": lambda: DCCRN((2, 4), 3, mask="E"),
    "dccrn_C": lambda: DCCRN((2, 4), 3, mask="C"),
    "dccrn_R": lambda: DCCRN((2, 4), 3, mask="R"),
    "conv_tasnet": lambda: ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1),
    "dptnet": lambda: DPTNet(8, 16, 20, blocks=1, heads=2, lstm_units=4),
}


def reference(wav, target):
    """The cosine of two waveforms in numpy, their means removed."""
    wav, target = wav - wav.mean(), target - target.mean()
    return wav @ target / np.sqrt((wav @ wav) * (target @ target))


def test_reference_of_known_angles():
    wav = np.array([1.0, -1.0, 0.0, 0.0])
    assert reference(wav, 0.5 * wav + 7) == pytest.approx(1)
    assert reference(wav, np.array([0.0, 0.0, 3.0, -3.0])) == 0
    assert reference(wav, np.array([-1.0, 1.0, 1.0, -1.0])) == pytest.approx(
        -(0.5**0.5)
    )


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
    silence, wav = torch.zeros(1, 9), torch.arange(9.0)[None]
    one = torch.ones(1)
    assert correlation(silence, wav, one) == correlation(wav, silence, one) == 0


def test_the_mean_is_over_items_not_batches():
    wav = torch.tensor([[1.0, 2.0, 3.0, 5.0]])
    batches = [
        (wav, wav, torch.ones(1)),
        (-wav.expand(3, 4), wav.expand(3, 4), torch.ones(3)),
    ]
    found = mean_correlation(lambda batch: batch, batches)
    assert found == pytest.approx(-0.5)


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


@pytest.mark.parametrize("family", ["conv_tasnet", "dptnet"])
def test_an_output_of_any_level_can_be_scaled(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    noisy = torch.randn(2, 2000)
    with torch.no_grad():
        before = model(noisy).wav
        model.scale_output(-1500)
        after = model(noisy).wav
    assert after.allclose(-1500 * before, rtol=1e-4, atol=1e-2)


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


@pytest.mark.parametrize(
    ("value", "sign"), [(0.1, 1), (0.0, 1), (-0.1, -1), (float("nan"), 1)]
)
def test_only_an_inverted_network_is_negated(value, sign, capsys):
    network = Negatable()
    align(network, value, "its output")
    assert network.sign == sign
    printed = capsys.readouterr().out
    assert ("is -0.1; the network was negated" in printed) == (sign < 0)


def test_what_is_not_wanted_is_left_and_named(capsys):
    network = Negatable()
    align(network, -0.1, "its output", wanted=False)
    assert network.sign == 1
    assert "left as it is, for align_polarity" in capsys.readouterr().out


def test_a_network_that_cannot_be_negated_is_left_and_named(capsys):
    align(nn.Linear(1, 1), -0.3, "its output")
    printed = capsys.readouterr().out
    assert "left as it is, for lack of a method negate()" in printed
    assert "supervised_loss to snr_loss" in printed


@pytest.mark.parametrize("gain", [1.0, -1.0, 1500.0, -1e-6, 1e30])
def test_the_level_of_speech_is_that_of_numpy(gain):
    rng = np.random.default_rng(0)
    clean, noise = rng.standard_normal((2, 2, 3, 50))
    wav = gain * (0.5 * clean + noise + 0.3)
    # Of all that is valid, the mean of each item removed.
    pairs = [(wav[0], clean[0], 50), (wav[1], clean[1], 30)]
    cut = [
        (w[i, :n] - w[i, :n].mean(), c[i, :n] - c[i, :n].mean())
        for w, c, n in pairs
        for i in range(3)
    ]
    own, speech = (np.concatenate(x) for x in zip(*cut, strict=True))
    batches = [
        (torch.tensor(w).float(), torch.tensor(c), torch.full((3,), n / 50))
        for w, c, n in pairs
    ]
    found = level_of_speech(lambda batch: batch, batches)
    expected = own @ speech / (speech @ speech)
    cosine = own @ speech / np.sqrt((own @ own) * (speech @ speech))
    assert found == pytest.approx((cosine, expected), rel=1e-4)


def test_silence_has_no_level():
    silence, wav = torch.zeros(1, 9), torch.arange(9.0)[None]
    for pair in ((silence, wav), (wav, silence)):
        batches = [(*pair, torch.ones(1))]
        assert level_of_speech(lambda batch: batch, batches) == (0, 0)


@pytest.mark.parametrize(
    ("level", "wanted", "scale", "line"),
    [
        ((0.9, 2.0), True, 0.5, "+6.02 dB in it; it is multiplied by 0.5"),
        ((-0.9, -0.5), True, -2.0, "correlation of -0.9 with"),
        ((-0.9, -0.5), False, 1.0, "scale_teacher is False, and pulls the"),
        ((0.9, 2.0), False, 1.0, ""),
        # Too little speech to tell: 1 / gain would blow up its noise.
        ((0.01, 0.001), True, 1.0, "hardly any speech"),
        ((0.0, 0.0), True, 1.0, "no level in it; it is left"),
    ],
)
def test_the_scale_undoes_sign_and_level(level, wanted, scale, line, capsys):
    assert teacher_scale(*level, wanted) == scale
    printed = capsys.readouterr().out
    assert line in printed and bool(line) == bool(printed)


def test_a_teacher_that_puts_out_nan_is_refused():
    with pytest.raises(UserError, match="output must be finite"):
        teacher_scale(float("nan"), float("nan"), wanted=True)
