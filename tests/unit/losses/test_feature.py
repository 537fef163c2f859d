"""Frame similarity: the reference, and networks that share no shape."""

import kd_numpy
import pytest
import torch

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.losses import FrameSimilarity
from speechbrain_dfkd.losses.feature import frame_similarity
from speechbrain_dfkd.models import DCCRN, ConvTasNet
from speechbrain_dfkd.models.base import Enhanced

LENGTHS = torch.tensor([1.0, 0.5, 0.75])
CLEAN = torch.zeros(3, 800)  # 8 common frames of 100 samples


@pytest.fixture
def features():
    """Of 3 items: [C, F, T] at 24 frames and [C, T] at 40 frames."""
    torch.manual_seed(0)
    return torch.randn(3, 4, 6, 24), torch.randn(3, 10, 40)


def run(student, teacher, lengths=LENGTHS):
    loss = FrameSimilarity(["a"], ["b"], frame_samples=100)
    outputs = Enhanced(CLEAN, {"a": student}), Enhanced(CLEAN, {"b": teacher})
    return loss(*outputs, CLEAN, lengths)


def test_matches_the_reference(features):
    student, teacher = (f.flatten(1, -2).double().numpy() for f in features)
    pairs = [
        (student[i][:, : int(24 * part)], teacher[i][:, : int(40 * part)])
        for i, part in enumerate(LENGTHS.tolist())
    ]
    expected = kd_numpy.frame_similarity(pairs, [8, 4, 6])
    loss, terms = run(*features)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert terms["l_a"].equal(loss)


def test_scale_channels_and_their_order_do_not_matter(features):
    student, teacher = features
    expected, _ = run(student, teacher)
    mixed = 7 * student.flatten(1, 2)[:, torch.randperm(24)]
    padded = torch.cat([mixed, torch.zeros(3, 5, 24)], dim=1)
    assert run(padded, teacher)[0].item() == pytest.approx(
        expected.item(), rel=1e-4
    )
    assert run(student, student.flatten(1, 2))[0].item() < 1e-10


@pytest.mark.parametrize("frame_samples, n_frames", [(1, 800), (900, 1)])
def test_a_frame_is_a_sample_at_least_and_the_utterance_at_most(
    features, frame_samples, n_frames
):
    loss = FrameSimilarity(["a"], ["b"], frame_samples)
    outputs = [Enhanced(CLEAN, dict.fromkeys("ab", f)) for f in features]
    value, _ = loss(*outputs, CLEAN, torch.ones(3))
    own, target = (
        frame_similarity(feature, torch.ones(3), n_frames)
        for feature in features
    )
    expected = (own - target).square().mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-12)


def test_pairs_of_features_add_up(features):
    a, b = features
    loss = FrameSimilarity(["a", "c"], ["b", "d"], frame_samples=100)
    value, terms = loss(
        Enhanced(CLEAN, {"a": a, "c": b}),
        Enhanced(CLEAN, {"b": b, "d": a.square()}),
        CLEAN,
        LENGTHS,
    )
    assert terms["l_a"].equal(run(a, b)[0])
    assert terms["l_c"].equal(run(b, a.square())[0])
    assert value.item() == pytest.approx(sum(terms.values()).item())


def test_gradient_is_that_of_the_formula(features):
    student, teacher = (f[..., :8].double() for f in features)
    assert torch.autograd.gradcheck(
        lambda feature: run(feature, teacher)[0], student.requires_grad_()
    )


def test_frames_beyond_the_end_do_not_matter(features):
    expected, _ = run(*features)
    student, teacher = (f.clone() for f in features)
    student[1, ..., 12:] = float("nan")
    teacher[2, ..., 30:] = 9.0
    student.requires_grad_()
    loss, _ = run(student, teacher)
    loss.backward()
    assert loss.equal(expected)
    assert student.grad.isfinite().all()


def test_autocast_leaves_the_products_alone(features):
    expected, _ = run(*features)
    with torch.autocast("cpu", torch.bfloat16):
        assert run(*features)[0].equal(expected)


def test_silent_features_have_no_direction():
    feature = torch.zeros(1, 5, 12, requires_grad=True)
    found = frame_similarity(feature, torch.ones(1), 4)
    found.square().sum().backward()
    assert found.eq(0).all() and feature.grad.isfinite().all()


def test_frames_are_averaged_and_compared_by_their_direction():
    feature = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 3.0]]])
    found = frame_similarity(feature, torch.ones(1), 2)  # of (1, 1) and (0, 2)
    assert found[0, 0].tolist() == pytest.approx([1.0, 0.7071], abs=1e-4)


def test_beyond_the_end_there_is_nothing_to_resemble():
    # Common frames are means of samples 0-1, 1-2, 3-4 and 4-5.
    feature = torch.tensor([[[1.0, 2.0, 3.0, 9.0, 9.0, 9.0], [1.0] * 6]])
    found = frame_similarity(feature, torch.tensor([0.5]), 4)[0]
    cosine = (1.5 * 2.5 + 1) / ((1.5**2 + 1) * (2.5**2 + 1)) ** 0.5
    assert found[0, :2].tolist() == pytest.approx([1, cosine])
    assert found[2:].eq(0).all() and found[:, 2:].eq(0).all()


def test_one_silent_frame_of_one_utterance_costs_one():
    loss = FrameSimilarity(["a"], ["b"])
    assert loss.frame_samples == 400
    wav, feature = torch.zeros(1, 400), torch.ones(1, 3, 2)
    silent, loud = (
        Enhanced(wav, {"a": 0 * feature}),
        Enhanced(wav, {"b": feature}),
    )
    value, _ = loss(silent, loud, wav, torch.ones(1))
    assert value.item() == pytest.approx(1)
    value, _ = loss(silent, loud, wav, torch.zeros(1))
    assert value.item() == 0


def test_networks_of_two_families_can_be_compared():
    """DCCRN at 160 frames a second, Conv-TasNet at 1000."""
    torch.manual_seed(0)
    teacher = DCCRN(channels=(4, 8), lstm_units=4)
    student = ConvTasNet(8, 32, 4, 16, 6, blocks=2, repeats=1)
    loss = FrameSimilarity(["block.0", "mask"], ["encoder.1", "rnn"])
    noisy = torch.randn(2, 4001)
    with torch.no_grad():
        target = teacher(noisy, loss.teacher_features)
    value, terms = loss(
        student(noisy, loss.student_features), target, noisy, torch.ones(2)
    )
    value.backward()
    assert list(terms) == ["l_block.0", "l_mask"] and value > 0
    assert student.encoder.weight.grad.ne(0).any()


@pytest.mark.parametrize(
    "names, message",
    [
        (([], []), "must be pairs of names"),
        ((["a"], ["b", "c"]), r"got \['a'\] and \['b', 'c'\]"),
        ((["a"], ["b"], 0), "frame_samples must be at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        FrameSimilarity(*names)
