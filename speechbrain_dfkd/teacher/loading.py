"""Which network ``teacher_ckpt`` means, and its weights."""

import pydoc
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from speechbrain.utils.distributed import if_main_process
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.settings.tree import (
    dump_tree,
    nodes_of,
    plain_settings,
    tag_of,
)
from speechbrain_dfkd.teacher.asteroid import read_asteroid
from speechbrain_dfkd.teacher.frozen import teacher_roles
from speechbrain_dfkd.teacher.trained_network import (
    EXPORT,
    WEIGHTS,
    differences,
    exported_network,
    non_finite,
    read_checkpoint,
)


class TrainedNetwork(NamedTuple):
    """What a checkpoint holds."""

    path: Path  # the file of weights
    network: Mapping | None  # its settings; None: the file does not tell
    content: dict  # the weights, perhaps within other things
    is_asteroid: bool


def find_teacher_checkpoint(path: str | Path) -> Path:
    """Return a file of weights, given as itself, a run's or exported folder."""
    path = Path(path)
    for candidate in (path, path / WEIGHTS, path / EXPORT / WEIGHTS):
        if candidate.is_file():
            return candidate
    found = "a folder without trained weights" if path.is_dir() else "nothing"
    raise UserError(
        f"teacher_ckpt must be a file, or a folder that train_teacher.py "
        f"wrote, got {path}, where there is {found}; if its training was "
        f"interrupted, run train_teacher.py again to finish it"
    )


def read_network(path: str | Path) -> TrainedNetwork:
    """Read what ``teacher_ckpt`` means; a bare state_dict has no settings."""
    path = find_teacher_checkpoint(path)
    content = read_checkpoint(path)
    if {"model_name", "state_dict"} <= content.keys():
        return TrainedNetwork(path, *read_asteroid(content, path), True)
    return TrainedNetwork(path, exported_network(path.parent), content, False)


def described_teacher(settings: dict, is_chosen: bool) -> Mapping | None:
    """Return what ``teacher_ckpt`` says in place of ``teacher``, if another.

    Where the command line chose the teacher, another one is refused.
    """
    if not (teacher_roles(settings) and settings["teacher_ckpt"]):
        return None
    found = read_network(settings["teacher_ckpt"])
    here = settings["teacher"]
    if not (found.is_asteroid or _others(found, here)):
        return None
    if is_chosen:
        _refuse_other(found, here)
    _refuse_code(found)
    if if_main_process():
        print(
            f"Teacher: {found.network.get('name')}, as {found.path} describes "
            f"it, in place of the setting teacher ({here.get('name')})",
            flush=True,
        )
    return found.network


def _refuse_code(found: TrainedNetwork) -> None:
    """Keep a folder of others from running more than networks of ours."""
    for node in nodes_of(found.network):
        kind, _, name = tag_of(node).partition(":")
        made = pydoc.locate(name) if name else None
        is_network = isinstance(made, type) and issubclass(made, nn.Module)
        if name and not (kind in ("!new", "!name") and is_network):
            raise UserError(
                f"teacher_ckpt must be of a network made of torch modules, "
                f"got {found.path}, whose settings hold {tag_of(node)}; if you "
                f"trust them, pass the network as --teacher '!include:...'"
            )


# Settings that say nothing of what a network does.
_NO_SIZES = ("name", "model", "teacher_leaf", "initial_filters")


def _others(found: TrainedNetwork, network: dict) -> list[str]:
    """Return a line for each setting in which a folder's network differs."""
    if found.network is None or found.is_asteroid:
        return []
    there = plain_settings(dump_tree(found.network))
    sizes = [key for key in network if key not in _NO_SIZES]
    pairs = {key: (there.get(key), network[key]) for key in sizes}
    pairs["model"] = _class_of(there), _class_of(network)
    return [
        f"{key}: {old} there, {new} here"
        for key, (old, new) in pairs.items()
        if old != new
    ]


def _class_of(network: Mapping) -> str:
    """Return the name of the class in the tag of a model's plain value."""
    tag = re.search(r"!\w+:([\w.]+)", str(network.get("model")))
    return tag[1].rpartition(".")[2] if tag else ""


def _refuse_other(found: TrainedNetwork, network: dict) -> None:
    if lines := _others(found, network):
        raise UserError(
            f"teacher_ckpt must be of the teacher's network, got {found.path}, "
            f"which was trained with other settings:\n{listing(lines)}\n"
            f"set teacher to the network that the checkpoint was trained with, "
            f"or leave --teacher out"
        )


def load_teacher(hparams: dict, settings: dict) -> nn.Module:
    """Return a leaf's teacher with the weights of ``teacher_ckpt``."""
    found = read_network(hparams["teacher_ckpt"])
    _refuse_other(found, settings["teacher"])
    model = hparams["teacher"]["model"]
    load_strictly(model, found)
    return model


def load_strictly(model: nn.Module, found: TrainedNetwork) -> None:
    """Load finite weights, which must fit ``model`` exactly."""
    state = _weights_for(model.state_dict(), found)
    if damaged := non_finite(state, model):
        raise UserError(
            f"teacher_ckpt must hold finite weights, got NaN or infinity in "
            f"{found.path}:\n{listing(damaged, 5)}\nchoose another "
            f"--teacher_ckpt, or train the teacher anew"
        )
    model.load_state_dict(state)


# A checkpoint is read several times.
_print_once = cache(partial(print, flush=True))


def _weights_for(own: Mapping, found: TrainedNetwork) -> dict[str, Tensor]:
    """Return the only weights of a file that fit; say where they were."""
    candidates = list(_candidates(found.content, own))
    fitting = {
        (place, prefix): state
        for place, prefix, state in candidates
        if not differences(state, own)
    }
    if not fitting:
        raise _misfit(found, [state for *_, state in candidates], own)
    (place, prefix), *others = fitting
    if others:
        places = [f"{place}: {prefix}" for place, prefix in fitting]
        raise UserError(
            f"teacher_ckpt must hold one set of weights for the teacher's "
            f"network, got {found.path} with {len(fitting)}:\n"
            f"{listing(places)}\nload it, and save one of them with torch.save"
        )
    where = [f"its {place!r}"] * bool(place)
    where += [f"names without {prefix!r}"] * bool(prefix)
    if where and if_main_process():
        taken = f"{found.path} are taken from {' and '.join(where)}"
        _print_once(f"Teacher: the weights in {taken}")
    return fitting[place, prefix]


def _candidates(
    content: dict, own: Mapping, place: str = "", depth: int = 2
) -> Iterator[tuple[str, str, dict]]:
    """Yield place, prefix and weights without it, of all dicts with some.

    The place is a key such as ``model_state_dict``; the prefix that of a
    wrapper: of DataParallel, torch.compile or Lightning.
    """
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    first = next(iter(own), "")
    # What stands before one of the network's names in a file's.
    starts = [key.removesuffix(first) for key in tensors if key.endswith(first)]
    prefixes = [""] * bool(tensors) + [one for one in starts if one[-1:] == "."]
    for prefix in prefixes:
        named = [key for key in tensors if key.startswith(prefix)]
        state = {key.removeprefix(prefix): tensors[key] for key in named}
        yield place, prefix, state
    for key, value in content.items():
        if isinstance(value, dict) and depth:
            inner = f"{place}.{key}" if place else str(key)
            yield from _candidates(value, own, inner, depth - 1)


def _misfit(found: TrainedNetwork, states: list, own: Mapping) -> UserError:
    if not states:
        content = ", ".join(map(str, found.content)) or "nothing"
        return UserError(
            f"teacher_ckpt must hold a network's weights, got {found.path}, "
            f"which holds {content}; save them with "
            f"torch.save(model.state_dict(), path)"
        )
    closest = max(states, key=lambda state: len(state.keys() & own.keys()))
    advice = (
        "set teacher to the network that the checkpoint was trained with, "
        "e.g. --teacher '!include:models/dccrn_half.yaml'"
    )
    if "state_dict" in found.content:
        advice += (
            "; a network of Asteroid's, which a Lightning system has as its "
            "model, is saved with torch.save(system.model.serialize(), path)"
        )
    return UserError(
        f"teacher_ckpt must fit the teacher's network, got {found.path}:\n"
        f"{listing(differences(closest, own), 5)}\n{advice}"
    )
