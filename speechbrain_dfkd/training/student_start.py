"""Where a student starts: the teacher's weights, and the right polarity."""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import ddp_broadcast, main_process_only
from torch import Tensor, nn
from torch.utils.data import Dataset

from speechbrain_dfkd.errors import UserError, listing, require
from speechbrain_dfkd.losses.kd_loss import sample_mask
from speechbrain_dfkd.losses.supervised import centred
from speechbrain_dfkd.models.channel_axes import WeightAxes


def fixed_batches(
    dataset: Dataset, batch_size: int, n_batches: int = 8
) -> Iterator[PaddedBatch]:
    """Yield the same batches in any run, each spread over a data set."""
    # Manifests are sorted: the first items would all be one speaker's.
    size = len(dataset)
    count = min(size, batch_size * n_batches)
    chosen = [i * size // count for i in range(count)]
    n_batches = -(-count // batch_size)
    for i in range(n_batches):
        yield PaddedBatch([dataset[j] for j in chosen[i::n_batches]])


@contextmanager
def trial_copies(modules: nn.ModuleDict) -> Iterator[nn.ModuleDict]:
    """Give copies in training mode; neither networks nor generators change."""
    device = next(modules.parameters()).device
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        yield copy.deepcopy(modules).train()


def initialise_from_teacher(student: nn.Module, teacher: nn.Module) -> None:
    """Give a student the teacher's channels of largest norm.

    A channel's importance is the L1 norm of all parameters that produce or
    hold it: the criterion of Li et al., Pruning Filters for Efficient
    ConvNets, ICLR 2017, arXiv 1608.08710, section 3.1, summed where layers
    share channels, as those that add to one residual path do [inferred].
    Every parameter and buffer is cut on all of its axes. RT-SEMamba,
    Interspeech 2026, arXiv 2608.12099, starts from its teacher, too.

    Nothing is rescaled: norms over channels (Conv-TasNet, DPTNet), and an
    attention's scale, change with the number of channels. A student with fewer
    residual blocks gets the teacher's first ones in the same roles.
    """
    own, other = (type(model).__name__ for model in (student, teacher))
    subject = "a student that starts from its teacher"
    advice = "choose another student, or set init_from_teacher to False"
    alike, pair = type(student) is type(teacher), f"{own} from {other}"
    require(subject, alike, "a network of its class", pair, advice)
    known = hasattr(student, "channel_axes")
    require(subject, known, "one with channel_axes()", f"{own} without", advice)
    ours, theirs = student.channel_axes(), teacher.channel_axes()
    # In this order: what differs first may be why the next ones do.
    _refuse(
        f"{name}: {value} in the student, {theirs.settings[name]} in the teacher"
        for name, value in ours.settings.items()
        if value != theirs.settings[name]
    )
    sizes, most = ours.sizes(), theirs.sizes()
    surplus = [role for role in ours.layers if role not in theirs.layers]
    _refuse(
        [f"{role}: only in the student" for role in surplus]
        + [
            f"channels of {n}: {size} in the student, {most[n]} in the teacher"
            for n, size in sizes.items()
            if size > most.get(n, size)
        ]
    )
    own, source = ours.tensors(), theirs.tensors()
    inherited = {role: source[role] for role in own}
    kept = _strongest_channels(inherited, sizes)
    cut = {role: _take(*inherited[role], kept) for role in own}
    _refuse(
        f"shape of {role}: {list(tensor.shape)} in the student, "
        f"{list(cut[role].shape)} from the teacher"
        for role, (tensor, _) in own.items()
        if tensor.shape != cut[role].shape
    )
    with torch.no_grad():
        for role, (tensor, _) in own.items():
            tensor.copy_(cut[role])


def start_from_teacher(hparams: dict) -> None:
    """Initialise the student of a dfkd leaf that asks for it."""
    if hparams["init_from_teacher"]:
        networks = [hparams[key]["model"] for key in ("student", "teacher")]
        initialise_from_teacher(*networks)


def _strongest_channels(tensors: dict, sizes: dict[str, int]) -> dict:
    """Return {group: indices}, ascending, of the channels of largest L1 norm.

    Of {role: (tensor, WeightAxes)} buffers do not count.
    """
    importance = defaultdict(float)
    for tensor, (axes, produced) in tensors.values():
        if axes and axes[produced] and isinstance(tensor, nn.Parameter):
            rows = tensor.detach().movedim(produced, 0).abs().double()
            norms = rows.reshape(len(rows), -1).sum(1)
            for group, places in _places(axes[produced], norms):
                importance[group.name] += norms[places].sum(1)
    kept = {}
    for name, size in sizes.items():
        order = importance[name].argsort(descending=True, stable=True)
        kept[name] = order[:size].sort().values
    return kept


def _take(tensor: Tensor, weight_axes: WeightAxes, kept: dict) -> Tensor:
    """Return a copy of a tensor's channels {group: indices}."""
    tensor = tensor.detach().clone()
    for axis, groups in enumerate(weight_axes.axes):
        if groups:
            moved = tensor.movedim(axis, 0)
            places = _places(groups, moved)
            indices = [place[kept[g.name]].flatten() for g, place in places]
            tensor = moved[torch.cat(indices)].movedim(0, axis)
    return tensor


def _places(groups: tuple, tensor: Tensor) -> Iterable[tuple]:
    """Return (group, [channels, places in a row] on axis 0) in order."""
    sizes = [group.size for group in groups]
    indices = torch.arange(len(tensor), device=tensor.device)
    indices = indices.view(sum(sizes), -1).split(sizes)
    return zip(groups, indices, strict=True)


def _refuse(problems: Iterable[str]) -> None:
    if problems := list(problems):
        raise UserError(
            f"a student that starts from its teacher must be a part of it, "
            f"got\n{listing(problems, 8)}\nchoose a student that is nowhere "
            f"larger and has the teacher's settings, e.g. dccrn_eighth.yaml from "
            f"dccrn_half.yaml, or set init_from_teacher to False"
        )


@main_process_only
def announce(line: str) -> None:
    """Print a line, once for all processes."""
    print(line, flush=True)


# Below this an output holds too little of the speech to tell its level.
NEGLIGIBLE = 0.1


def correlation(wav: Tensor, clean: Tensor, lengths: Tensor) -> Tensor:
    """Return the cosine [B] of waveforms [B, L], means removed, 0 of silence.

    What lies beyond the relative ``lengths`` [B] does not matter.
    """
    wav, clean = (_centred(x, lengths) for x in (wav, clean))
    return torch.cosine_similarity(wav, clean, dim=1, eps=1e-30)


def _centred(wav: Tensor, lengths: Tensor) -> Tensor:
    # In float64, whose squares hold any level that float32 has.
    mask = sample_mask(lengths, wav.shape[1]).cpu()
    return centred(wav.detach().cpu().double(), mask)


@torch.no_grad()
def mean_correlation(enhance: Callable, batches: Iterable) -> float:
    """Return the mean of ``correlation`` over batches, alike in all processes.

    ``enhance`` makes of a batch the arguments of ``correlation``.
    """
    values = torch.cat([correlation(*enhance(batch)) for batch in batches])
    # That of the first process, where others round differently.
    return ddp_broadcast(values.mean().item())


@torch.no_grad()
def level_of_speech(enhance: Callable, batches: Iterable) -> tuple:
    """Return <w, c> / (|w| |c|) and <w, c> / <c, c>, 0 for silence.

    They are of all outputs w and clean waveforms c at once, with the mean of
    each item removed; ``enhance`` is that of ``mean_correlation``.
    """
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in batches:
        wav, clean, lengths = enhance(batch)
        wav, clean = (_centred(x, lengths) for x in (wav, clean))
        pairs = ((wav, clean), (wav, wav), (clean, clean))
        sums += torch.stack([(x * y).sum() for x, y in pairs])
    both, own, speech = sums.tolist()
    if own == 0 or speech == 0:
        return ddp_broadcast((0.0, 0.0))
    return ddp_broadcast((both / math.sqrt(own * speech), both / speech))


def teacher_scale(correlation: float, gain: float, wanted: bool) -> float:
    """Return what a teacher's output is multiplied by, and print it.

    By 1 / gain the speech in it gets the sign and the level of the clean
    speech. Not wanted, it is 1, and a line says so only of a negative output.
    """
    if not (math.isfinite(correlation) and math.isfinite(gain)):
        raise UserError(
            "the teacher's output must be finite, got NaN or infinity for the "
            "training set; choose another --teacher_ckpt, or train it anew"
        )
    scale = 1.0
    if abs(correlation) < NEGLIGIBLE:
        done = "it is left as it is, for it holds hardly any speech; is it trained?"
    elif wanted:
        scale = 1 / gain
        done = f"it is multiplied by {scale:.4g}"
    elif correlation > 0:
        return scale
    else:
        done = (
            "it is left, for scale_teacher is False, and pulls the student away"
        )
    level = f"{20 * math.log10(abs(gain)):+.2f} dB" if gain else "no level"
    announce(
        f"teacher: its output has a correlation of {correlation:.3g} with "
        f"the clean speech, which is at {level} in it; {done}"
    )
    return scale


def align(network: nn.Module, value: float, output: str, wanted: bool = True):
    """Negate, where wanted, a network whose correlation with clean is below 0.

    A line says so; a network without a method ``negate()`` stays as it is.
    """
    if not value < 0:
        return
    done = "negated"
    if not wanted:
        done = "left as it is, for align_polarity is False"
    elif hasattr(network, "negate"):
        network.negate()
    else:
        done = (
            "left as it is, for lack of a method negate(); if the training "
            "does badly, give it one, or set supervised_loss to snr_loss"
        )
    announce(
        f"polarity: the correlation of {output} with the clean speech is "
        f"{value:.3g}; the network was {done}"
    )
