"""Reads what Asteroid's ``serialize()`` returned."""

import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.teacher.asteroid import conv_tasnet, dccrn, dptnet
from speechbrain_dfkd.teacher.trained_network import differences

# Asteroid's class: what takes its arguments and its weights over.
_FAMILIES = {"ConvTasNet": conv_tasnet, "DCCRNet": dccrn, "DPTNet": dptnet}


@dataclass
class AsteroidNetwork:
    """One of our networks, as an Asteroid checkpoint describes it.

    Arguments
    ---------
    name : str
        As in the names of result folders.
    model_class : type
        One of ``speechbrain_dfkd.models``.
    settings : dict
        Its arguments.
    weights : dict of str to Tensor
        Its ``state_dict``.
    """

    name: str
    model_class: type[nn.Module]
    settings: dict
    weights: dict[str, Tensor]

    def text(self) -> str:
        """Return it as a file of ``hparams/models/`` describes a network.

        Example
        -------
        >>> from speechbrain_dfkd.models import ConvTasNet
        >>> network = AsteroidNetwork("mine", ConvTasNet, {"blocks": 2}, {})
        >>> print(network.text())
        name: mine
        teacher_leaf: null
        blocks: 2
        model: !new:speechbrain_dfkd.models.ConvTasNet {"blocks": 2}
        """
        # It is trained already, so that no leaf has to.
        lines = [f"name: {self.name}", "teacher_leaf: null"]
        lines += [f"{k}: {json.dumps(v)}" for k, v in self.settings.items()]
        tag = f"!new:speechbrain_dfkd.models.{self.model_class.__name__}"
        return "\n".join([*lines, f"model: {tag} {json.dumps(self.settings)}"])


def is_asteroid(content: dict) -> bool:
    """Return whether a checkpoint's content is Asteroid's.

    Example
    -------
    >>> is_asteroid({"model_name": "DPTNet", "state_dict": {}})
    True
    >>> is_asteroid({"conv.weight": torch.ones(1)})
    False
    """
    return {"model_name", "state_dict"} <= content.keys()


def read_asteroid(content: dict, path) -> AsteroidNetwork:
    """Return the network that an Asteroid checkpoint describes.

    Arguments
    ---------
    content : dict
        What Asteroid's ``serialize()`` returned.
    path : str or Path
        Its file, for messages.

    Raises
    ------
    UserError
        Where it is no network of ours, or its weights are not all there.
    """
    try:
        return _network(content)
    except ValueError as error:  # of the arguments, or of the network itself
        raise UserError(
            f"teacher_ckpt must be an Asteroid checkpoint whose network we "
            f"have, for one source at 16000 Hz, got {path}: {error}"
        ) from error


def _network(content):
    family = _FAMILIES.get(str(content["model_name"]))
    if family is None:
        raise UserError(
            f"its model_name must be one of {', '.join(_FAMILIES)}, got "
            f"{content['model_name']!r}; choose another checkpoint"
        )
    theirs, model_args = content["state_dict"], content.get("model_args")
    if not isinstance(model_args, dict) or not _has_tensors(theirs):
        raise UserError(
            "it must hold model_args and a state_dict of tensors, got "
            "something else in their place; save it with Asteroid's "
            "torch.save(model.serialize(), path)"
        )
    settings = family.settings(model_args)
    weights = family.weights(theirs, settings)
    with torch.device("meta"):
        own = family.NETWORK(**settings).state_dict()
    problems = differences(weights, own)
    if problems:
        raise UserError(
            f"its weights must be those of the network that its model_args "
            f"describe (here by our names), got\n{listing(problems, 5)}\n"
            f"download it again"
        )
    return AsteroidNetwork(family.NAME, family.NETWORK, settings, weights)


def _has_tensors(state):
    is_dict = isinstance(state, dict)
    return is_dict and all(isinstance(v, Tensor) for v in state.values())
