"""DFKDLoss against the reference, its invariances and its edges."""

from pathlib import Path

import dfkd_numpy
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import DFKDLoss
from speechbrain_dfkd.losses.crossover import FrequencyAdapter
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.stft import STFT

ROOT = Path(__file__).parents[3]


class FixedSplit(nn.Module):
    """Another adapter: every frame splits at one bin."""

    def __init__(self, crossover):
        super().__init__()
        self.crossover = crossover

    def forward(self, teacher_mag):
        return torch.full_like(teacher_mag[:, 0], self.crossover).long()


def dfkd(beta=0.5, adapter=None):
    return DFKDLoss(STFT(), adapter or FrequencyAdapter(), beta)


def run(loss, student, teacher, lengths=None):
    lengths = torch.ones(len(student)) if lengths is None else lengths
    outputs = Enhanced(student, {}), Enhanced(teacher, {})
    return loss(*outputs, torch.zeros_like(teacher), lengths)


def voice(seed, n_samples=6000):
    """A gliding voice: falling harmonics, a slow envelope, a little noise."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(n_samples) / 16000
    pitch = 90 + 40 * seed + 20 * torch.sin(9 * time)
    phase = 2 * torch.pi * (pitch / 16000).cumsum(0)
    harmonics = sum(torch.sin(k * phase) / k**1.5 for k in range(1, 30))
    noise = torch.randn(n_samples, generator=generator)
    return 0.1 * torch.sin(7 * time).abs() * harmonics + 0.002 * noise


@pytest.fixture(params=["noise", "voice"])
def pair(request):
    """Waveforms [3, 6000] of a student and of its teacher."""
    torch.manual_seed(0)
    if request.param == "noise":
        return 0.1 * torch.randn(3, 6000), 0.1 * torch.randn(3, 6000)
    teacher = torch.stack([voice(seed) for seed in range(3)])
    return 0.7 * teacher + 0.01 * torch.randn(3, 6000), teacher


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_matches_the_reference(pair, beta):
    n_valid = [6000, 3000, 4500]
    loss, terms = run(dfkd(beta), *pair, torch.tensor(n_valid) / 6000)
    l_low, l_high, crossovers = dfkd_numpy.dfkd(
        *(wav.double().numpy() for wav in pair), n_valid, beta=beta
    )
    assert terms["l_low"].item() == pytest.approx(l_low, rel=1e-5)
    assert terms["l_high"].item() == pytest.approx(l_high, rel=1e-5)
    assert loss.item() == pytest.approx(l_low + l_high, rel=1e-5)
    counts = torch.bincount(torch.tensor(crossovers), minlength=257)
    assert terms["crossover_histogram"].equal(counts.float())


def test_equal_outputs_cost_nothing(pair):
    teacher = pair[1]
    student = teacher.clone().requires_grad_()
    loss, _ = run(dfkd(), student, teacher)
    loss.backward()
    assert abs(loss.item()) < 1e-6
    assert student.grad.abs().max() < 1e-3


@pytest.mark.parametrize("level", [1e-9, 1e-5, 1.0])
def test_equal_outputs_cost_nothing_at_any_level(level):
    spec = level * torch.randn(1, 9, 40, dtype=torch.complex64)
    loss, _ = dfkd().compare(spec, spec, torch.ones(1, 40, dtype=torch.bool))
    assert abs(loss.item()) < 1e-6


def test_only_the_student_gets_a_gradient(pair):
    student, teacher = (wav.requires_grad_() for wav in pair)
    loss, terms = run(dfkd(), student, teacher)
    loss.backward()
    assert teacher.grad is None
    assert student.grad.isfinite().all() and student.grad.ne(0).any()
    assert not any(value.requires_grad for value in terms.values())


@pytest.mark.parametrize("content", [3.0, float("nan")])
def test_the_content_of_padding_does_not_matter(pair, content):
    lengths = torch.tensor([1.0, 0.5, 0.75])
    expected, _ = run(dfkd(), *pair, lengths)
    student, teacher = (wav.clone() for wav in pair)
    student[1, 3000:] = content
    teacher[2, 4500:] = content
    student.requires_grad_()
    loss, terms = run(dfkd(), student, teacher, lengths)
    loss.backward()
    assert loss.equal(expected)
    assert student.grad[1, 3000:].eq(0).all()
    # Centres before 6000, 3000 and 4500, every 128 samples from 0.
    assert terms["crossover_histogram"].sum() == 47 + 24 + 36


def test_the_cosine_ignores_scale_and_the_rest_grows_with_its_square(pair):
    student, teacher = pair
    plain, _ = run(dfkd(beta=1.0), student, teacher)
    louder, _ = run(dfkd(beta=1.0), 3 * student, teacher)
    assert louder.item() == pytest.approx(plain.item(), rel=1e-4)
    _, plain = run(dfkd(beta=0.0), student, teacher)
    _, louder = run(dfkd(beta=0.0), 3 * student, 3 * teacher)
    ratio = louder["l_high"] / plain["l_high"]
    assert ratio.item() == pytest.approx(9, rel=1e-4)


def test_opposite_phase_costs_two_in_each_cosine(pair):
    teacher = pair[1]
    _, terms = run(dfkd(beta=0.25), -teacher, teacher)
    assert terms["l_low"].item() == pytest.approx(2, rel=1e-5)
    assert terms["l_high"].item() == pytest.approx(0.25 * 2, rel=1e-5)


@pytest.mark.parametrize("below, above", [(1.0, 0.0), (0.0, 1.0)])
def test_each_band_sees_its_own_bins(below, above):
    """Only the bins that differ from the teacher's raise their band."""
    torch.manual_seed(0)
    teacher = torch.randn(1, 9, 5, dtype=torch.complex64)
    weight = torch.tensor([below] * 4 + [0.0] + [above] * 4)[:, None]
    student = teacher * torch.exp(1j * weight)
    _, terms = dfkd(adapter=FixedSplit(4)).compare(
        student, teacher, torch.ones(1, 5, dtype=torch.bool)
    )
    changed = [terms[name].item() > 0.05 for name in ("l_low", "l_high")]
    assert changed == [below > 0, above > 0]


def test_a_weak_band_is_summed_as_exactly_as_a_strong_one():
    """What differences of running sums in float32 would get wrong."""
    torch.manual_seed(0)
    level = torch.where(torch.arange(257) < 100, 1e3, 1e-3)[:, None]
    student, teacher = (
        level * torch.randn(2, 257, 30, dtype=torch.complex128)
        for _ in range(2)
    )
    valid = torch.ones(2, 30, dtype=torch.bool)
    loss = dfkd(adapter=FixedSplit(100))
    _, exact = loss.compare(student, teacher, valid)
    _, single = loss.compare(student.cfloat(), teacher.cfloat(), valid)
    assert single["l_high"].item() == pytest.approx(
        exact["l_high"].item(), rel=1e-5
    )


def test_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 6, 4, dtype=torch.complex128)
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    assert torch.autograd.gradcheck(
        lambda spec: dfkd().compare(spec, teacher, valid)[0],
        student.requires_grad_(),
    )


def test_a_silent_teacher_asks_for_no_direction():
    spec = torch.randn(1, 9, 3, dtype=torch.complex64).requires_grad_()
    valid = torch.ones(1, 3, dtype=torch.bool)
    loss, terms = dfkd(beta=1.0).compare(spec, torch.zeros_like(spec), valid)
    loss.backward()
    assert loss.item() == 0 and spec.grad.eq(0).all()
    assert terms["crossover_histogram"][0] == 3


def test_frames_of_a_silent_teacher_stay_in_the_divisor():
    teacher = torch.ones(1, 9, 4, dtype=torch.complex64)
    teacher[:, :, 2:] = 0
    valid = torch.tensor([[True, True, True, False]])
    _, terms = dfkd().compare(-teacher, teacher, valid)
    assert terms["l_low"].item() == pytest.approx((2 + 2 + 0) / 3)


def test_a_silent_student_keeps_finite_gradients(pair):
    student = torch.zeros(3, 6000, requires_grad=True)
    loss, terms = run(dfkd(), student, pair[1])
    loss.backward()
    assert terms["l_low"].item() == pytest.approx(1)
    assert student.grad.isfinite().all()


def test_autocast_changes_nothing(pair):
    expected, _ = run(dfkd(), *pair)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = run(dfkd(), *pair)
    assert loss.dtype == torch.float32 and loss.equal(expected)


def test_runs_without_reading_values():
    wav = torch.empty(2, 4000, device="meta", requires_grad=True)
    loss, terms = run(
        dfkd().to("meta"), wav, wav, torch.empty(2, device="meta")
    )
    loss.backward()
    assert loss.shape == () and wav.grad.shape == wav.shape
    assert terms["crossover_histogram"].shape == (257,)


def test_waveforms_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match=r"got \[1, 4000\] and \[1, 3999\]"):
        run(dfkd(), torch.ones(1, 4000), torch.ones(1, 3999))


@pytest.mark.parametrize("eps", [0.0, -1e-8])
def test_eps_must_be_positive(eps):
    message = f"^eps must be positive, got {eps}; 1e-8 is usual$"
    with pytest.raises(UserError, match=message):
        DFKDLoss(STFT(), FrequencyAdapter(), eps=eps)


@pytest.mark.parametrize(
    "loss",
    [
        DFKDLoss(),
        DFKDLoss(STFT(), FrequencyAdapter()),
        load_hyperpyyaml((ROOT / "hparams/kd/dfkd.yaml").read_text())["loss"],
    ],
    ids=["no arguments", "defaults of the parts", "kd/dfkd.yaml"],
)
def test_defaults_are_the_published_method(loss):
    stft = loss.stft
    assert (stft.n_fft, stft.win_length, stft.hop_length) == (512, 512, 128)
    assert stft.window.equal(torch.hann_window(512))
    assert (loss.beta, loss.eps, loss.adapter.eps) == (0.5, 1e-8, 1e-8)
    assert type(loss.adapter) is FrequencyAdapter
    assert loss.energy_exponent == 0 and loss.relative_level is False


@pytest.mark.parametrize("norm, distance", [(0.5, 0.0), (0.75, 2.0)])
def test_eps_is_the_largest_norm_of_a_silent_teacher(norm, distance):
    teacher = torch.zeros(1, 9, 1, dtype=torch.complex64)
    teacher[:, 2] = norm
    loss = DFKDLoss(STFT(), FixedSplit(4), beta=1.0, eps=0.5)
    _, terms = loss.compare(-teacher, teacher, torch.ones(1, 1).bool())
    assert terms["l_low"].item() == pytest.approx(distance)
    assert terms["l_high"].item() == 0


def test_eps_is_the_least_norm_of_the_student_that_divides():
    teacher = torch.zeros(1, 9, 1, dtype=torch.complex64)
    teacher[:, 2] = 1
    loss = DFKDLoss(STFT(), FixedSplit(4), beta=1.0, eps=0.5)
    _, terms = loss.compare(0.125 * teacher, teacher, torch.ones(1, 1).bool())
    assert terms["l_low"].item() == pytest.approx(1 - 0.125 / 0.5)


@pytest.mark.parametrize("beta", [-0.1, 1.5])
def test_beta_must_be_a_share(beta):
    with pytest.raises(UserError, match=r"beta must be in \[0, 1\]"):
        dfkd(beta)
