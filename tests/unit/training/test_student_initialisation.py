"""A student that starts from its teacher: which weights it gets, and when.

``embed`` hides a small network in a wide one, in shuffled order. It reads the
same ``channel_axes`` as the package, but a network only keeps its output under
shuffling if they are right.
"""

import inspect

import pytest
import torch
from small_networks import NETWORKS, conv_tasnet, dccrn, dptnet

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.training.student_start import initialise_from_teacher

networks = pytest.mark.parametrize(
    ("make", "settings"), NETWORKS.values(), ids=NETWORKS
)


def randomise(model, seed=0):
    """Give every weight and statistic a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.uniform_(-0.5, 0.5, generator=generator)
        if "running_var" in name:
            value.add_(1)
    return model.eval()


def embed(small, wide, rest=0.0):
    """Put ``small`` into shuffled channels of ``wide``; the rest is small."""
    torch.manual_seed(1)
    ours, theirs = small.channel_axes(), wide.channel_axes()
    sizes = ours.sizes()
    where = {
        group: torch.randperm(size)[: sizes[group]]
        for group, size in theirs.sizes().items()
    }
    own = ours.tensors()
    with torch.no_grad():
        for role, (tensor, (axes, _)) in theirs.tensors().items():
            if tensor.is_floating_point():
                tensor.uniform_(-rest, rest)
            places = [torch.arange(size) for size in own[role][0].shape]
            for axis, groups in enumerate(axes):
                if groups:
                    places[axis] = spread(groups, where, tensor.shape[axis])
            index = torch.meshgrid(*places, indexing="ij") if places else ()
            tensor[index] = own[role][0]
    return wide.eval()


def spread(groups, where, length):
    row = length // sum(group.size for group in groups)
    start, found = 0, []
    for group in groups:
        channels = where[group.name][:, None] * row + torch.arange(row)
        found.append(start + channels.flatten())
        start += group.size * row
    return torch.cat(found)


def output(model):
    noisy = torch.randn(2, 200, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return model(noisy).wav


@networks
def test_student_of_the_teachers_size_is_the_teacher(make, settings):
    teacher, student = randomise(make(**settings)), make(**settings)
    initialise_from_teacher(student, teacher)
    assert fingerprint(student) == fingerprint(teacher)
    assert torch.equal(output(student.eval()), output(teacher))


@networks
def test_no_output_depends_on_the_order_of_channels(make, settings):
    small = randomise(make(**settings))
    shuffled = embed(small, make(**settings))
    assert fingerprint(shuffled) != fingerprint(small)
    torch.testing.assert_close(output(shuffled), output(small))


@networks
@pytest.mark.parametrize("rest", [0.0, 1e-4])
def test_network_hidden_in_a_wider_one_is_found(make, settings, rest):
    small = randomise(make(**settings))
    wide = embed(small, make(wider=3, **settings), rest)
    before = fingerprint(wide)
    student = make(**settings)
    initialise_from_teacher(student, wide)
    assert fingerprint(wide) == before
    assert fingerprint(student) != fingerprint(small), "it was shuffled"
    torch.testing.assert_close(output(student.eval()), output(small))


@pytest.mark.parametrize("rnn", ["complex", "real"])
def test_channels_of_norm_zero_do_nothing_in_dccrn(rnn):
    """Its norms are per channel; those of Conv-TasNet count the channels."""
    small = randomise(dccrn(rnn=rnn))
    wide = embed(small, dccrn(wider=3, rnn=rnn))
    torch.testing.assert_close(output(wide), output(small))


def zero(model):
    for value in model.state_dict().values():
        value.zero_()
    return model


def test_filters_of_largest_l1_norm_are_chosen_in_their_order():
    teacher, student = zero(conv_tasnet(wider=1)), conv_tasnet()
    filters = teacher.encoder.weight.data  # 7 of 16 taps each
    filters[0, 0, 0] = -3.0  # L1 norm 3, L2 norm 3: left out
    filters[1:, 0] = 0.25 * torch.arange(1, 7)[:, None]  # L1 norm 4 and more
    teacher.decoder.weight.data[0] = 99.0  # what reads a channel isn't it
    initialise_from_teacher(student, teacher)
    assert torch.equal(student.encoder.weight, filters[1:])
    assert student.decoder.weight.abs().max() == 0
    # The mask's rows and the norm's gain belong to the filters, too.
    teacher.mask[1].weight.data[0] = 1.5  # 5 skip channels: 3 + 7.5
    teacher.bottleneck[0].weight.data[1] = -9.0  # 4 + 9; the next has 8
    initialise_from_teacher(student, teacher)
    assert torch.equal(student.encoder.weight, filters[[0, 1, 3, 4, 5, 6]])


def test_all_that_add_to_a_residual_path_count():
    teacher, student = zero(conv_tasnet(wider=1)), conv_tasnet()
    teacher.bottleneck[1].weight.data[2] = 1.0  # 7 filters: 7
    for block in teacher.blocks:  # 4 blocks of 6 hidden channels: 6, 12, 24
        rows = torch.tensor([0.25, 0.5, 0.0, 0.0, 1.0])
        block.project.weight.data[:5] = rows[:, None, None]
    initialise_from_teacher(student, teacher)
    for block in student.blocks:
        assert block.project.weight[:3, 0, 0].tolist() == [0.5, 0.0, 1.0]


def test_statistics_follow_their_channels_and_do_not_count():
    teacher, student = zero(dccrn(wider=1)), dccrn()
    block = teacher.mask_net.encoder[0]  # 3 channels
    block.conv.weight_imag.data[[0, 2]] = 1.0
    block.norm.running_var.copy_(torch.tensor([1, 99, 3, 4, 99, 6]))
    initialise_from_teacher(student, teacher)
    variances = student.mask_net.encoder[0].norm.running_var
    assert variances.tolist() == [1, 3, 4, 6]


def test_lstm_units_keep_their_four_gates():
    teacher, student = zero(dccrn(wider=1)), dccrn()
    lstm = teacher.mask_net.rnn.lstm.imag[1]  # 6 units
    lstm.bias_hh_l0.data = 1.0 + torch.arange(24)
    lstm.weight_hh_l0.data[[0, 1, 2, 4, 5]] = 50.0  # all but unit 3
    initialise_from_teacher(student, teacher)
    kept = student.mask_net.rnn.lstm.imag[1]
    gates = kept.bias_hh_l0.view(4, 5) - 6 * torch.arange(4)[:, None]
    assert gates.tolist() == [[1, 2, 3, 5, 6]] * 4
    assert kept.weight_hh_l0[:5].eq(50).all()


def test_fewer_blocks_are_the_first_of_each_repeat():
    teacher = randomise(conv_tasnet(blocks=3, repeats=3))
    student = conv_tasnet(blocks=2, repeats=2)
    initialise_from_teacher(student, teacher)
    for block, index in zip(student.blocks, [0, 1, 3, 4], strict=True):
        source = teacher.blocks[index]
        assert fingerprint(block) == fingerprint(source)
        assert block.depthwise.dilation == source.depthwise.dilation


def test_heads_keep_their_own_channels():
    teacher, student = zero(dptnet(wider=3)), dptnet()  # 2 heads of 6, of 3
    weight = teacher.blocks[0].inter.attention_in.weight.data
    weight[:, 0] = torch.arange(36)  # queries, keys, values; the last are large
    weight[12, 0] = 99.0  # a key takes its query along
    initialise_from_teacher(student, teacher)
    kept = student.blocks[0].inter.attention_in.weight.abs().amax(1)
    queries = [0, 4, 5, 9, 10, 11]
    keys, values = [99, 16, 17, 21, 22, 23], [27, 28, 29, 33, 34, 35]
    assert kept.tolist() == queries + keys + values


@networks
def test_student_can_learn(make, settings):
    teacher, student = randomise(make(wider=4, **settings)), make(**settings)
    initialise_from_teacher(student, teacher)
    enhanced = student.train()(torch.randn(2, 200)).wav
    assert enhanced.isfinite().all()
    enhanced.square().sum().backward()
    grads = {name: p.grad for name, p in student.named_parameters()}
    # No output comes after the last block's residual path.
    assert all(grad.isfinite().all() for grad in grads.values())
    assert any(grad.abs().max() > 0 for grad in grads.values())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (conv_tasnet(), dccrn(), "its class, got ConvTasNet from DCCRN"),
        (torch.nn.ReLU(), torch.nn.ReLU(), "channel_axes.*ReLU without"),
        (dccrn(1), dccrn(), r"of encoder.0: 3 in the student, 2 in the teach"),
        (dccrn(mask="C"), dccrn(), "mask: C in the student, E in the teacher"),
        (dccrn(window="sqrt_hann"), dccrn(), "window: sqrt_hann in the stud"),
        (dccrn(lstm_layers=1), dccrn(), "lstm_layers: 1 in the student, 2 in"),
        (dccrn(rnn="real"), dccrn(), "rnn: real in the student, complex in"),
        (conv_tasnet(kernel_size=5), conv_tasnet(), "kernel_size: 5 in the"),
        (dptnet(heads=3), dptnet(), "heads: 3 in the student, 2 in the teach"),
        (dptnet(chunk_size=6), dptnet(), "chunk_size: 6 in the student, 8"),
        (conv_tasnet(blocks=3), conv_tasnet(), "repeat.0.block.2: only in"),
    ],
)
def test_pair_that_does_not_fit_is_refused(student, teacher, message):
    before = fingerprint(student)
    with pytest.raises(UserError, match=message):
        initialise_from_teacher(student, teacher)
    assert fingerprint(student) == before


@pytest.mark.parametrize(
    ("model", "free"),
    [
        (dccrn(), {"channels", "lstm_units"}),
        (
            conv_tasnet(),
            {"n_filters", "bottleneck_channels", "hidden_channels"}
            | {"skip_channels", "blocks", "repeats", "initial_filters"},
        ),
        (dptnet(), {"n_filters", "lstm_units", "blocks", "initial_filters"}),
    ],
)
def test_every_argument_is_a_size_or_a_start_or_must_agree(model, free):
    arguments = set(inspect.signature(type(model)).parameters)
    assert arguments - free <= set(model.channel_axes().settings)
