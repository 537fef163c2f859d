"""What every objective that ships as YAML has in common, and lengths."""

import copy
from pathlib import Path

import pytest
import torch

from speechbrain_dfkd.losses import KDLoss, WaveformResponse
from speechbrain_dfkd.losses.kd_loss import check_same_shape, sample_mask
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.settings.configuration import compose

FOLDER = Path(__file__).parents[3] / "hparams/kd"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "none.yaml"})
LENGTHS = torch.tensor([1.0, 0.5, 0.75])


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def loss(request):
    return compose(request.param, [], "", {"name", "loss"}).build()["loss"]


@pytest.fixture(params=["noise", "steps"])
def wavs(request):
    """Student, teacher, clean [3, 6000]; teacher the better one in places."""
    torch.manual_seed(0)
    noise = torch.randn(4, 3, 6000)
    if request.param == "steps":
        noise = noise * torch.logspace(-4, 0, 3)[:, None]
    clean = 0.1 * noise[0].cumsum(1).sin()
    teacher = clean + 0.02 * noise[1] * (noise[3].cumsum(1) > 0)
    student = clean + 0.02 * noise[2]
    return [student, teacher, clean]


def enhanced(wav, names):
    """Return an output whose features are its frames of 100 samples."""
    frames = wav.unfold(1, 100, 100).transpose(1, 2)
    return Enhanced(wav, dict.fromkeys(names, frames))


def run(loss, student, teacher, clean, lengths=LENGTHS):
    return loss(
        enhanced(student, loss.student_features),
        enhanced(teacher, loss.teacher_features),
        clean,
        lengths,
    )


def test_is_a_kd_loss(loss):
    assert isinstance(loss, KDLoss)


def test_scalar_with_detached_terms(loss, wavs):
    wavs[0].requires_grad_()
    value, terms = run(loss, *wavs)
    assert value.shape == () and value.dtype == torch.float32
    assert value.isfinite()
    for name, term in terms.items():
        assert not term.requires_grad, name
        assert term.shape in ((), (257,)), name
    parts = [v for name, v in terms.items() if name.startswith("l_")]
    assert sum(parts, torch.zeros(())) == pytest.approx(value.item(), rel=1e-5)


def test_only_the_student_gets_a_gradient(loss, wavs):
    for wav in wavs:
        wav.requires_grad_()
    value, _ = run(loss, *wavs)
    value.backward()
    student, teacher, clean = (wav.grad for wav in wavs)
    assert teacher is None and clean is None
    assert student.isfinite().all() and student.ne(0).any()


@pytest.mark.parametrize("content", [3.0, float("nan")])
def test_the_content_of_padding_does_not_matter(loss, wavs, content):
    expected, _ = run(loss, *wavs)
    others = [wav.clone() for wav in wavs]
    for wav in others:
        wav[1, 3000:] = content
        wav[2, 4500:] = content
    others[0].requires_grad_()
    value, _ = run(loss, *others)
    assert value.equal(expected)
    if value.requires_grad:
        value.backward()
        assert others[0].grad[1, 3000:].eq(0).all()
        assert others[0].grad.isfinite().all()


def test_a_student_like_its_teacher_costs_nothing(loss, wavs):
    student = wavs[1].clone().requires_grad_()
    value, _ = run(loss, student, *wavs[1:])
    if isinstance(loss, WaveformResponse):
        assert value.item() < -70  # SI-SNR ends at 80 dB
    else:
        assert abs(value.item()) < 1e-6


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_silence_keeps_values_and_gradients_finite(loss, wavs, silent):
    wavs[silent] = torch.zeros_like(wavs[silent])
    wavs[0].requires_grad_()
    value, terms = run(loss, *wavs)
    assert value.isfinite()
    assert all(term.isfinite().all() for term in terms.values())
    if value.requires_grad:
        value.backward()
        assert wavs[0].grad.isfinite().all()


def test_autocast_changes_nothing(loss, wavs):
    expected, _ = run(loss, *wavs)
    with torch.autocast("cpu", torch.bfloat16):
        value, _ = run(loss, *wavs)
    assert value.dtype == torch.float32 and value.equal(expected)


def test_half_precision_outputs_are_compared_in_float32(loss, wavs):
    half = [wav.bfloat16() for wav in wavs[:2]]
    expected, _ = run(loss, *(wav.float() for wav in half), wavs[2])
    value, _ = run(loss, *half, wavs[2])
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_runs_without_reading_values(loss):
    wav = torch.empty(2, 4001, device="meta", requires_grad=True)
    lengths = torch.empty(2, device="meta")
    loss = copy.deepcopy(loss).to("meta")
    value, _ = run(loss, wav, wav, wav.detach(), lengths)
    assert value.shape == () and value.device.type == "meta"
    if value.requires_grad:
        value.backward()
        assert wav.grad.shape == wav.shape


def test_batch_of_one_of_odd_length_and_strided(loss):
    torch.manual_seed(0)
    wide = torch.randn(3, 3001, 2)[..., 0]
    assert not wide.is_contiguous()
    strided = [wav[None] for wav in wide]
    plain = [wav.contiguous() for wav in strided]
    ones = torch.ones(1)
    value, _ = run(loss, *strided, ones)
    assert value.equal(run(loss, *plain, ones)[0])


@pytest.mark.parametrize("length", [1, 2, 5, 320])
def test_clip_shorter_than_a_window(loss, length):
    torch.manual_seed(0)
    wavs = torch.randn(3, 2, length)
    student = wavs[0].clone().requires_grad_()
    features = {
        name: wav[:, None]
        for wav, names in (
            (student, loss.student_features),
            (wavs[1], loss.teacher_features),
        )
        for name in names
    }
    outputs = Enhanced(student, features), Enhanced(wavs[1], features)
    value, terms = loss(*outputs, wavs[2], torch.tensor([1.0, 0.8]))
    assert value.isfinite()
    assert all(term.isfinite().all() for term in terms.values())
    if value.requires_grad:
        value.backward()
        assert student.grad.isfinite().all()


def test_none_is_no_objective():
    settings = compose(FOLDER / "none.yaml", [], "", {"name", "loss"})
    assert settings.build() == {"name": "none", "loss": None}


def test_what_is_no_objective_says_so():
    with pytest.raises(NotImplementedError, match="KDLoss must define forward"):
        KDLoss()(None, None, None, None)


def test_every_length_survives_the_way_through_float32():
    """Rounding down would lose a sample of many of these."""
    for n_samples in (1000, 32123):
        samples = torch.arange(1, n_samples + 1, n_samples // 500)
        found = sample_mask(samples / n_samples, n_samples)
        assert found.sum(1).equal(samples)
        assert found[:, 0].all()


def test_an_utterance_begins_with_its_valid_samples():
    found = sample_mask(torch.tensor([0.5, 1.0]), 4)
    assert found.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    "estimate, target, lengths, message",
    [
        (
            (2, 1, 9), (2, 1, 9), (2,),
            "estimate and target must both be [B, L], got [2, 1, 9] and "
            "[2, 1, 9]; squeeze channels and cut both to one length",
        ),
        (
            (2, 9), (1, 9), (2,),
            "estimate and target must both be [B, L], got [2, 9] and [1, 9]; "
            "squeeze channels and cut both to one length",
        ),
        (
            (2, 9), (2, 9), (2, 1),
            "lengths must be [B] = [2], got [2, 1]; give one relative length "
            "per item",
        ),
    ],
)  # fmt: skip
def test_what_would_broadcast_is_refused(estimate, target, lengths, message):
    with pytest.raises(ValueError) as raised:
        check_same_shape(*map(torch.ones, (estimate, target, lengths)))
    assert str(raised.value) == message


def test_waveforms_of_one_shape_are_let_pass():
    check_same_shape(torch.ones(2, 9), torch.ones(2, 9), torch.ones(2))
