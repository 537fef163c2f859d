"""A teacher that is not trained, and whether a run needs one."""

import hashlib
from functools import cache
from pathlib import Path

import torch
from speechbrain.utils.distributed import if_main_process
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.teacher.asteroid import is_asteroid, read_asteroid
from speechbrain_dfkd.teacher.trained_network import (
    EXPORT,
    WEIGHTS,
    closest_weights,
    differences,
    exported_settings,
    fitting_weights,
    non_finite,
    read_checkpoint,
)


def needs_teacher(hparams: dict) -> bool:
    """Tell whether a training needs a teacher at all.

    It does where the objective does and has a weight, or where the student
    starts from it; any other run neither trains nor loads one.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.

    Raises
    ------
    UserError
        Where the objective asks for a feature that a network does not have.
    """
    objective = hparams["modules"]["kd_loss"]
    for role in ("student", "teacher"):
        asked = getattr(objective, f"{role}_features")
        # A network of the user's own need not list its features.
        known = getattr(hparams[role]["model"], "feature_names", asked)
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise UserError(
                f"{role}_features must be among {', '.join(known)}, got "
                f"{', '.join(unknown)}; pass --kd '!include:kd/FILE.yaml "
                f"{{{role}_features: [{known[-1]}]}}'"
            )
    return follows_teacher(hparams) or hparams["init_from_teacher"]


def follows_teacher(hparams: dict) -> bool:
    """Tell whether a training follows the outputs of a teacher.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.
    """
    objective = hparams["modules"]["kd_loss"]
    return hparams["kd_weight"] > 0 and objective.needs_teacher


_NO_SIZES = ("name", "model", "teacher_leaf", "initial_filters")


class FrozenTeacher(nn.Module):
    """Wraps a trained network so that it gives targets and nothing else.

    It stays in evaluation mode whatever ``train()`` is called on, because
    ``Brain.fit`` puts all modules of a Brain in training mode; its parameters
    need no gradient and its outputs carry none.

    Arguments
    ---------
    model : nn.Module
        An enhancement network: ``model(noisy, features) -> Enhanced``.

    Attributes
    ----------
    scale : float
        What the waveforms of ``estimate`` are multiplied by, at first 1.

    Shape
    -----
    noisy : [B, L]
    output : Enhanced, wav [B, L]

    Example
    -------
    >>> class Half(nn.Module):
    ...     def forward(self, noisy, features=()):
    ...         return Enhanced(0.5 * noisy, {})
    >>> teacher = FrozenTeacher(Half()).train()
    >>> teacher(torch.ones(1, 2, requires_grad=True)).wav
    tensor([[0.5000, 0.5000]])
    >>> teacher.training
    False
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.requires_grad_(False)
        self.scale = 1.0
        super().train(False)

    def train(self, mode: bool = True):
        """Do nothing: a teacher stays in evaluation mode."""
        return self

    @torch.no_grad()
    def forward(self, noisy: Tensor, features: tuple = ()) -> Enhanced:
        """Enhance without building a graph."""
        return self.model(noisy, features)

    def estimate(self, batch, features: tuple = ()) -> Enhanced:
        """Return the targets of a batch, whose ``noisy_sig`` is enhanced."""
        wav, kept = self(batch.noisy_sig.data, features)
        return Enhanced(self.scale * wav, kept)


class CachedTeacher:
    """Takes a teacher's place where batches bring its outputs along.

    Its network is kept for its fingerprint and for the test, but not run.

    Arguments
    ---------
    model : nn.Module
        The network that made the outputs.

    Attributes
    ----------
    scale : float
        What they are multiplied by, at first 1.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.scale = 1.0

    def to(self, device):
        """Do nothing: the network stays where it is."""
        return self

    def estimate(self, batch, features: tuple = ()) -> Enhanced:
        """Return the targets of a batch, which are its ``teacher_sig``."""
        return Enhanced(self.scale * batch.teacher_sig.data, {})


def fingerprint(model: nn.Module) -> str:
    """Return a hash of a network's weights, by which it is recognised."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().cpu().reshape(-1)
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_teacher(hparams: dict, settings: dict) -> nn.Module:
    """Return the teacher's network with the weights of ``teacher_ckpt``.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.
    settings : dict
        The same as plain values.

    Raises
    ------
    UserError
        Where the checkpoint is missing or is of another network.
    """
    path = find_teacher_checkpoint(hparams["teacher_ckpt"])
    check_exported(path, settings["teacher"], settings["sample_rate"])
    load_strictly(hparams["teacher"]["model"], path)
    return hparams["teacher"]["model"]


def load_strictly(model: nn.Module, path) -> None:
    """Load the weights of a checkpoint file that must fit ``model`` exactly.

    Arguments
    ---------
    model : nn.Module
        The network that receives the weights.
    path : str or Path
        See ``read_weights``.

    Raises
    ------
    UserError
        Where the file cannot be read, its names or shapes differ from the
        network's, or its weights are not finite; the first keys are named.
    """
    state = read_weights(path, model.state_dict())
    damaged = non_finite(state, model)
    if damaged:
        raise UserError(
            f"teacher_ckpt must hold finite weights, got NaN or infinity in "
            f"{path}:\n{listing(damaged, 5)}\nchoose another --teacher_ckpt, or "
            f"train the teacher anew"
        )
    model.load_state_dict(state)


def read_weights(path, own: dict) -> dict[str, Tensor]:
    """Return the weights in a checkpoint file under a network's names.

    A line says where in the file they were, if that is not plain.

    Arguments
    ---------
    path : str or Path
        A file that ``torch.save`` wrote from a ``state_dict``, from a dict
        with one in it, or from what Asteroid's ``serialize()`` returned.
    own : dict of str to Tensor
        The network's ``state_dict``.

    Raises
    ------
    UserError
        Where the file cannot be read, Asteroid's network is none of ours, or
        not exactly one set of weights in it fits.
    """
    content = read_checkpoint(path)
    if is_asteroid(content):
        content = read_asteroid(content, path).weights
    found = fitting_weights(content, own)
    if not found:
        raise _misfit(path, content, own)
    if len(found) > 1:
        places = [f"{place}: {prefix}" for place, prefix in found]
        raise UserError(
            f"teacher_ckpt must hold one set of weights for the teacher's "
            f"network, got {path} with {len(found)}:\n{listing(places)}\nload "
            f"it, and save one of them with torch.save"
        )
    (((place, prefix), weights),) = found.items()
    if place or prefix:
        _announce(
            f"Teacher: the weights in {path} are taken from "
            + " and ".join(
                [f"its {place!r}"] * bool(place)
                + [f"names without {prefix!r}"] * bool(prefix)
            )
        )
    return weights


@cache
def _announce(line):
    """Print a line once, though a checkpoint is read several times."""
    if if_main_process():
        print(line, flush=True)


def _misfit(path, content, own):
    state = closest_weights(content, own)
    if not state:
        return UserError(
            f"teacher_ckpt must hold a network's weights, got {path}, which "
            f"holds {', '.join(map(str, content)) or 'nothing'}; save them with "
            f"torch.save(model.state_dict(), path)"
        )
    advice = (
        "set teacher to the network that the checkpoint was trained with, "
        "e.g. --teacher '!include:models/dccrn_half.yaml'"
    )
    if "state_dict" in content:
        advice += (
            "; a network of Asteroid's, which a Lightning system has as its "
            "model, is saved with torch.save(system.model.serialize(), path)"
        )
    return UserError(
        f"teacher_ckpt must fit the teacher's network, got {path}:\n"
        f"{listing(differences(state, own), 5)}\n{advice}"
    )


def find_teacher_checkpoint(path) -> Path:
    """Return the file of weights that ``teacher_ckpt`` means.

    Arguments
    ---------
    path : str or Path
        A file, the output folder of ``train_teacher.py``, or the exported
        folder in it.

    Raises
    ------
    UserError
        Where there is none.
    """
    path = Path(path)
    candidates = [path, path / WEIGHTS, path / EXPORT / WEIGHTS]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    found = "a folder without trained weights" if path.is_dir() else "nothing"
    raise UserError(
        f"teacher_ckpt must be a file, or a folder that train_teacher.py "
        f"wrote, got {path}, where there is {found}; if its training was "
        f"interrupted, run train_teacher.py again to finish it"
    )


def check_exported(path, network: dict, sample_rate: int) -> None:
    """Refuse weights whose exported settings differ from the teacher's.

    Weights alone do not show a network's hop length, mask or sample rate.

    Arguments
    ---------
    path : Path
        The file of weights; settings lie beside it if it was exported.
    network : dict
        The teacher's settings as plain values.
    sample_rate : int
        Of the data, in Hz.

    Raises
    ------
    UserError
        With the settings that differ.
    """
    exported = exported_settings(Path(path).parent)
    if exported is None:
        return
    there = {"sample_rate": exported["sample_rate"], **exported["network"]}
    here = {"sample_rate": sample_rate, **network}
    differing = [
        f"{key}: {there.get(key)} there, {here.get(key)} here"
        for key in here
        if key not in _NO_SIZES and there.get(key) != here.get(key)
    ]
    if differing:
        raise UserError(
            f"teacher_ckpt must be of the teacher's network, got {path}, "
            f"which was trained with other settings:\n{listing(differing)}\n"
            f"set teacher to the network that the checkpoint was trained with"
        )
