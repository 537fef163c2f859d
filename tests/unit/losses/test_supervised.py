"""The supervised losses: known values, invariances, silence."""

import math

import dfkd_numpy
import pytest
import torch
from speechbrain.nnet.loss.si_snr_loss import si_snr_loss as speechbrain_loss

from speechbrain_dfkd.losses import (
    si_snr,
    si_snr_loss,
    si_snr_spectrum_loss,
    snr,
    snr_loss,
)
from speechbrain_dfkd.losses.supervised import _spectrum_response
from speechbrain_dfkd.stft import STFT

BOTH = pytest.mark.parametrize("ratio", [si_snr, snr])
LENGTHS = torch.tensor([1.0, 0.5, 0.7501])  # of 1000: 1000, 500, 750 samples


@pytest.fixture
def pair():
    """Noisy estimates at about 20, 6 and 0 dB, with a mean."""
    torch.manual_seed(0)
    target = 0.1 * torch.randn(3, 1000) + 0.03
    noise_level = torch.tensor([[0.01], [0.05], [0.1]])
    return target + noise_level * torch.randn(3, 1000), target


@BOTH
def test_matches_the_reference(pair, ratio):
    reference = getattr(dfkd_numpy, ratio.__name__)
    expected = [
        reference(e[:n].double().numpy(), t[:n].double().numpy())
        for e, t, n in zip(*pair, (1000, 500, 750), strict=True)
    ]
    values = ratio(*pair, LENGTHS)
    assert values.tolist() == pytest.approx(expected, abs=1e-4)


def test_agrees_with_speechbrain_on_zero_mean_signals_without_padding(pair):
    estimate, target = (wav - wav.mean(1, keepdim=True) for wav in pair)
    ours = si_snr_loss(estimate, target, torch.ones(3))
    theirs = speechbrain_loss(estimate, target, torch.ones(3))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)


def test_si_snr_ignores_scale_sign_and_offset(pair):
    estimate, target = pair
    expected = si_snr(estimate, target, LENGTHS)
    for other in (1e-3 * estimate, -50 * estimate, estimate + 1):
        values = si_snr(other, 0.2 * target, LENGTHS)
        torch.testing.assert_close(values, expected, atol=1e-3, rtol=0)


def test_snr_counts_a_wrong_level_and_an_offset():
    target = torch.tensor([1.0, -1.0]).repeat(1, 50)
    ones = torch.ones(1)
    assert snr(0.5 * target, target, ones).item() == pytest.approx(6.0206)
    assert snr(target + 0.1, target, ones).item() == pytest.approx(20)


@BOTH
@pytest.mark.parametrize("content", [1e4, float("nan")])
def test_padding_does_not_matter(pair, ratio, content):
    expected = ratio(*pair, LENGTHS)
    estimate, target = (wav.clone() for wav in pair)
    for wav in (estimate, target):
        wav[1, 500:] = content
    estimate.requires_grad_()
    values = ratio(estimate, target, LENGTHS)
    values.sum().backward()
    assert values.equal(expected)
    assert estimate.grad[1, 500:].eq(0).all()
    assert estimate.grad[1, :500].ne(0).any()


@BOTH
def test_a_batch_equals_its_items_alone(pair, ratio):
    together = ratio(*pair, LENGTHS)
    for i, n in enumerate((1000, 500, 750)):
        alone = ratio(*(wav[i : i + 1, :n] for wav in pair), torch.ones(1))
        assert alone.item() == pytest.approx(together[i].item(), abs=1e-4)


SIGNAL = torch.sin(torch.arange(400.0)).reshape(1, -1)
SILENT = torch.zeros(1, 400)


@BOTH
@pytest.mark.parametrize(
    "estimate, target",
    [
        (SIGNAL, SILENT),
        (SILENT, SIGNAL),
        (SILENT, SILENT),
        (SIGNAL, SIGNAL),
        (1e-6 * SIGNAL, SIGNAL),
        (-SIGNAL, SIGNAL),
    ],
)
def test_values_and_gradients_stay_finite(ratio, estimate, target):
    estimate = estimate.clone().requires_grad_()
    value = ratio(estimate, target, torch.ones(1))
    value.sum().backward()
    assert value.isfinite().all()
    assert estimate.grad.isfinite().all()


def test_rules_of_silence_and_perfection():
    ones = torch.ones(1)

    def values(estimate, target):
        return [f(estimate, target, ones).item() for f in (si_snr, snr)]

    assert values(SIGNAL, SIGNAL) == pytest.approx([80, 80], abs=1e-2)
    assert values(SILENT, SIGNAL) == pytest.approx([0, 0], abs=1e-2)
    assert values(SILENT, SILENT) == pytest.approx([0, 0], abs=1e-2)
    assert si_snr(SIGNAL, SILENT, ones).item() == pytest.approx(-80, abs=1e-2)


@pytest.mark.parametrize("n_samples", [1, 2])
def test_of_almost_silence_the_snr_is_that_of_the_formula(n_samples):
    """At -154 dB, a power of 4e-16 against the constant 1e-16."""
    target = 2e-8 * torch.tensor([[1.0, -1.0]])[:, :n_samples]
    ones = torch.ones(1)
    assert snr(target, target, ones).item() == pytest.approx(
        10 * math.log10((4 + 1) / (0 + 1))
    )
    if n_samples == 2:  # without its mean, one sample is silent
        scale = 4 / (4 + 1)
        signal, noise = 4 * scale**2 + 1, 4 * (1 - scale) ** 2 + 1
        assert si_snr(target, target, ones).item() == pytest.approx(
            10 * math.log10(signal / noise), rel=1e-5
        )


@BOTH
def test_an_item_without_a_sample_has_0_db(ratio):
    lengths = torch.tensor([1.0, 0.0])
    wav = SIGNAL.repeat(2, 1).requires_grad_()
    values = ratio(wav, 2 * SIGNAL.repeat(2, 1), lengths)
    values.sum().backward()
    assert values[1].item() == 0 and wav.grad.isfinite().all()


def test_a_silent_target_pulls_the_level_down_in_snr_only():
    estimate = SIGNAL.clone().requires_grad_()
    for ratio, pull in ((snr_loss, 1), (si_snr_loss, 0)):
        loss = ratio(estimate, SILENT, torch.ones(1))
        (grad,) = torch.autograd.grad(loss, estimate)
        assert (grad * SIGNAL).sum().gt(1e-3).item() == bool(pull)


@BOTH
def test_gradient_is_that_of_the_formula(pair, ratio):
    estimate, target = (wav[:, :12].double() for wav in pair)
    estimate.requires_grad_()
    lengths = torch.tensor([1.0, 0.5, 0.75])
    assert torch.autograd.gradcheck(
        lambda wav: ratio(wav, target, lengths), estimate
    )


@BOTH
def test_half_precision_is_computed_in_float32(pair, ratio):
    half = [wav.bfloat16() for wav in pair]
    expected = ratio(*(wav.float() for wav in half), LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        values = ratio(*half, LENGTHS)
    assert values.dtype == torch.float32 and values.equal(expected)


@pytest.mark.parametrize(
    "loss, ratio", [(si_snr_loss, si_snr), (snr_loss, snr)]
)
def test_a_loss_is_the_negative_mean(pair, loss, ratio):
    expected = -sum(ratio(*pair, LENGTHS).tolist()) / 3
    assert loss(*pair, LENGTHS).item() == pytest.approx(expected)


@BOTH
def test_shapes_that_would_broadcast_are_refused(pair, ratio):
    estimate, target = pair
    with pytest.raises(ValueError, match=r"both be \[B, L\]"):
        ratio(estimate, target[:1], LENGTHS)
    with pytest.raises(ValueError, match=r"lengths must be \[B\] = \[3\]"):
        ratio(estimate, target, torch.ones(1))


@pytest.mark.parametrize("loss", [si_snr_loss, snr_loss])
def test_ceiling_leaves_the_gradient_to_noisy_items(loss):
    torch.manual_seed(0)
    target = torch.randn(1, 1000)
    noise = torch.randn(1, 1000)
    for level_db, share in ((0.0, 0.99), (15.0, 0.5), (40.0, 0.003)):
        gradients = []
        for ceiling_db in (None, 15.0):
            estimate = target + noise * 10 ** (-level_db / 20)
            estimate.requires_grad_()
            loss(estimate, target, torch.ones(1), ceiling_db).backward()
            gradients.append(estimate.grad.norm())
        # 1 / (1 + 10^((v - c) / 10)): the derivative of the bent value.
        assert gradients[1] / gradients[0] == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("loss", [si_snr_loss, snr_loss])
def test_ceiling_is_approached_from_below(loss):
    target = torch.randn(1, 1000)
    values = [
        -loss(
            target + level * torch.randn(1, 1000), target, torch.ones(1), 20.0
        )
        for level in (1.0, 0.1, 0.01, 0.0)
    ]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(20.0, abs=1e-4)


@pytest.fixture
def long_pair():
    torch.manual_seed(0)
    return torch.randn(2, 2, 3001)


def test_makes_its_window_once(long_pair, monkeypatch):
    expected = si_snr_spectrum_loss(*long_pair, LENGTHS[:2])
    monkeypatch.setattr(torch, "hann_window", None)
    monkeypatch.setattr(STFT, "__init__", None)
    assert si_snr_spectrum_loss(*long_pair, LENGTHS[:2]).equal(expected)


def test_trains_after_a_first_use_in_inference(long_pair):
    _spectrum_response.cache_clear()
    with torch.inference_mode():
        expected = si_snr_spectrum_loss(*long_pair, LENGTHS[:2])
    estimate = long_pair[0].clone().requires_grad_()
    value = si_snr_spectrum_loss(estimate, long_pair[1], LENGTHS[:2])
    value.backward()
    assert value.item() == expected.item()
    assert estimate.grad.isfinite().all() and estimate.grad.any()
