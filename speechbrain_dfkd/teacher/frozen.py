"""Whom a student follows, and what a run needs a teacher for."""

import hashlib
from collections.abc import Mapping

import torch
from speechbrain.dataio.batch import PaddedBatch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.models.base import Enhanced


def teacher_roles(settings: Mapping) -> set[str]:
    """Return what a run needs a teacher for; ``settings`` may be objects."""
    distils = settings.get("kd_weight") and settings["kd"]["loss"] is not None
    roles = {
        "follow": distils and not settings.get("clean_as_teacher"),
        "start": settings.get("init_from_teacher"),
        # Where no student is asked for.
        "score": "student" not in settings.get("score_systems", ["student"]),
    }
    return {role for role, is_needed in roles.items() if is_needed}


def check_objective(hparams: dict) -> None:
    """Refuse an objective on features that there are not, at the start."""
    objective = hparams["kd"]["loss"]
    if objective is None:
        return
    if hparams["clean_as_teacher"] and objective.teacher_features:
        raise UserError(
            f"clean_as_teacher must be False for an objective on the "
            f"teacher's features, got True with "
            f"{type(objective).__name__}; choose an objective on outputs"
        )
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


class FrozenTeacher(nn.Module):
    """Wraps a trained network so that it gives targets and nothing else.

    It stays in evaluation mode whatever ``train()`` is called on, because
    ``Brain.fit`` puts all modules of a Brain in training mode; its parameters
    need no gradient and its outputs carry none.

    Arguments
    ---------
    model : nn.Module
        An enhancement network: ``model(noisy, features) -> Enhanced``.

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
        self.scale = 1.0  # of the waveforms of ``estimate``
        super().train(False)

    def train(self, mode: bool = True):
        """Do nothing: a teacher stays in evaluation mode."""
        return self

    @torch.no_grad()
    def forward(self, noisy: Tensor, features: tuple = ()) -> Enhanced:
        """Enhance without building a graph."""
        return self.model(noisy, features)

    def estimate(self, batch: PaddedBatch, features: tuple = ()) -> Enhanced:
        """Return the targets of a batch, whose ``noisy_sig`` is enhanced."""
        wav, kept = self(batch.noisy_sig.data, features)
        return Enhanced(self.scale * wav, kept)


class CachedTeacher:
    """Gives the outputs that batches bring along of a network, not run."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.scale = 1.0

    def estimate(self, batch: PaddedBatch, features: tuple = ()) -> Enhanced:
        """Return the targets of a batch, which are its ``teacher_sig``."""
        return Enhanced(self.scale * batch.teacher_sig.data, {})


class CleanTeacher:
    """Gives the clean signal in a network's place: a control."""

    # A network is there only where the student's first weights came from it.
    def __init__(self, model: nn.Module | None = None):
        self.model = model

    def estimate(self, batch: PaddedBatch, features: tuple = ()) -> Enhanced:
        """Return the targets of a batch, which are its ``clean_sig``."""
        return Enhanced(batch.clean_sig.data, {})


def fingerprint(model: nn.Module) -> str:
    """Return a hash of a network's weights, by which it is recognised."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().cpu().reshape(-1)
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
