"""Starts a narrower student from the strongest channels of its teacher."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from speechbrain_dfkd.checkpoint_file import non_finite
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.models.channel_axes import ChannelAxes


def initialise_from_teacher(student: nn.Module, teacher: nn.Module) -> None:
    """Give a student the teacher's channels of largest norm.

    A channel's importance is the L1 norm of all parameters that produce or
    hold it: rows of the matrices, filters and gates that put it out, their
    biases, and the gains and shifts of its norm. This is the criterion of Li
    et al., Pruning Filters for Efficient ConvNets, ICLR 2017, arXiv
    1608.08710, section 3.1 (who found no clear difference to the L2 norm),
    summed where layers share channels, as those that add to one residual
    path do [inferred]. In each group of channels the student gets as many as
    it has, in the teacher's order; every parameter and buffer is cut on all
    of its axes. That a student starts from its teacher is also a part of
    RT-SEMamba, Interspeech 2026, arXiv 2608.12099.

    Nothing is rescaled. So a student does what its teacher does where the
    channels left out are zero and the norms are each channel's own (DCCRN);
    norms over channels (Conv-TasNet, DPTNet), and an attention's scale, which
    is by the size of its heads, change with the number of channels.

    A student with fewer residual blocks gets the teacher's first ones in the
    same roles (see the network's ``channel_axes``); blocks left out do not
    count towards the importance.

    Arguments
    ---------
    student : nn.Module
        Receives the weights. It has ``channel_axes()``, which returns a
        ``speechbrain_dfkd.models.channel_axes.ChannelAxes``.
    teacher : nn.Module
        A network of the same class, nowhere smaller; it is left as it is.

    Raises
    ------
    UserError
        Where the student cannot be cut out of the teacher, with all reasons,
        or the teacher's weights are not finite.

    Example
    -------
    >>> from speechbrain_dfkd.models import DCCRN
    >>> teacher, student = DCCRN((2, 2), 2), DCCRN((1, 2), 1)
    >>> weight = teacher.mask_net.encoder[0].conv.weight_real
    >>> weight.data = (
    ...     torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 5, 2)
    ... )
    >>> initialise_from_teacher(student, teacher)
    >>> student.mask_net.encoder[0].conv.weight_real[0, 0, 0]
    tensor([2., 2.], grad_fn=<SelectBackward0>)
    """
    ours, theirs = _channels_of_both(student, teacher)
    damaged = non_finite(teacher.state_dict(), teacher)
    if damaged:
        raise UserError(
            f"a teacher that a student starts from must have finite weights, "
            f"got NaN or infinity in\n{listing(damaged, 5)}\ntrain the "
            f"teacher anew, or set init_from_teacher to False"
        )
    # In this order: what differs first may be why the next ones do.
    _refuse(_other_settings(ours, theirs))
    _refuse(_larger_parts(ours, theirs))
    own, source = ours.tensors(), theirs.tensors()
    inherited = {role: source[role] for role in own}
    kept = strongest_channels(inherited, ours.sizes())
    cut = {role: take(*inherited[role], kept) for role in own}
    _refuse(_other_shapes(own, cut))
    with torch.no_grad():
        for role, (tensor, _) in own.items():
            tensor.copy_(cut[role])


def start_from_teacher(hparams: dict) -> None:
    """Initialise the student of a dfkd leaf that asks for it.

    Arguments
    ---------
    hparams : dict
        Objects of the leaf; with ``init_from_teacher`` its networks are used.

    Raises
    ------
    UserError
        As ``initialise_from_teacher`` does.
    """
    if hparams["init_from_teacher"]:
        networks = [hparams[key]["model"] for key in ("student", "teacher")]
        initialise_from_teacher(*networks)


def strongest_channels(tensors: dict, sizes: dict) -> dict[str, Tensor]:
    """Return which channels of each group have the largest L1 norm.

    Arguments
    ---------
    tensors : dict
        {role: (tensor, WeightAxes)}; buffers among them do not count.
    sizes : dict
        {group: how many channels to choose}.

    Returns
    -------
    dict
        {group: indices, ascending}; of equal channels the first are chosen.
    """
    importance = defaultdict(float)
    for tensor, (axes, produced) in tensors.values():
        if axes and axes[produced] and isinstance(tensor, nn.Parameter):
            rows = tensor.detach().movedim(produced, 0).abs().double()
            norms = rows.reshape(len(rows), -1).sum(1)
            for group, places in _places(axes[produced], norms):
                importance[group.name] += norms[places].sum(1)
    order = {
        name: norms.argsort(descending=True, stable=True)
        for name, norms in importance.items()
    }
    return {
        name: order[name][:size].sort().values for name, size in sizes.items()
    }


def take(tensor: Tensor, weight_axes, kept: dict[str, Tensor]) -> Tensor:
    """Return a copy of some channels of a tensor.

    Arguments
    ---------
    tensor : Tensor
        A parameter or buffer.
    weight_axes : WeightAxes
        What its axes are.
    kept : dict
        {group: indices of the channels to take}.

    Example
    -------
    >>> from speechbrain_dfkd.models.channel_axes import WeightAxes, channels
    >>> axes = WeightAxes((channels("a", 3) * 2,))  # each a in two places
    >>> take(torch.arange(12), axes, {"a": torch.tensor([0, 2])})
    tensor([ 0,  1,  4,  5,  6,  7, 10, 11])
    """
    tensor = tensor.detach().clone()
    for axis, groups in enumerate(weight_axes.axes):
        if groups:
            moved = tensor.movedim(axis, 0)
            indices = [
                places[kept[group.name]].flatten()
                for group, places in _places(groups, moved)
            ]
            tensor = moved[torch.cat(indices)].movedim(0, axis)
    return tensor


def _places(groups, tensor):
    """Return (group, [channels, places in a row] on axis 0) in order."""
    sizes = [group.size for group in groups]
    indices = torch.arange(len(tensor), device=tensor.device)
    indices = indices.view(sum(sizes), -1).split(sizes)
    return zip(groups, indices, strict=True)


def _channels_of_both(student, teacher) -> tuple[ChannelAxes, ChannelAxes]:
    names = [type(model).__name__ for model in (student, teacher)]
    advice = "choose another student, or set init_from_teacher to False"
    if type(student) is not type(teacher):
        raise UserError(
            f"a student that starts from its teacher must be a network of "
            f"its class, got {names[0]} from {names[1]}; {advice}"
        )
    if not hasattr(student, "channel_axes"):
        raise UserError(
            f"a student that starts from its teacher must have "
            f"channel_axes(), got {names[0]} without; {advice}"
        )
    return student.channel_axes(), teacher.channel_axes()


def _other_settings(ours, theirs):
    return [
        f"{name}: {value} in the student, {theirs.settings[name]} in the teacher"
        for name, value in ours.settings.items()
        if value != theirs.settings[name]
    ]


def _larger_parts(ours, theirs):
    surplus = [role for role in ours.layers if role not in theirs.layers]
    sizes = theirs.sizes()
    return [f"{role}: only in the student" for role in surplus] + [
        f"channels of {name}: {size} in the student, {sizes[name]} in the teacher"
        for name, size in ours.sizes().items()
        if size > sizes.get(name, size)
    ]


def _other_shapes(own, cut):
    return [
        f"shape of {role}: {list(tensor.shape)} in the student, "
        f"{list(cut[role].shape)} from the teacher"
        for role, (tensor, _) in own.items()
        if tensor.shape != cut[role].shape
    ]


def _refuse(problems):
    if problems:
        raise UserError(
            f"a student that starts from its teacher must be a part of it, "
            f"got\n{listing(problems, 8)}\nchoose a student that is nowhere "
            f"larger and otherwise has the teacher's settings, e.g. "
            f"models/dccrn_eighth.yaml from models/dccrn_half.yaml, or set "
            f"init_from_teacher to False"
        )
