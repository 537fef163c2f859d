"""Reads files of weights without running code from them."""

import re
from pathlib import Path

import torch
from torch.torch_version import TorchVersion

from speechbrain_dfkd.errors import UserError

# Asteroid's serialize() stores the version of PyTorch, a kind of str.
_HARMLESS = [TorchVersion]

_CONVERSION = """\
  import torch  # and, for a whole network, the package that defines it
  content = torch.load({path!r}, map_location="cpu", weights_only=False)
  # a published Asteroid model: without figures and notes
  keys = ("model_name", "state_dict", "model_args")
  torch.save({{key: content[key] for key in keys}}, "teacher.pth")
  # or a whole network: one of Asteroid's, or one of another package
  torch.save(content.serialize(), "teacher.pth")
  torch.save(content.state_dict(), "teacher.pth")"""


def read_checkpoint(path) -> dict:
    """Return the dict that ``torch.save`` wrote to a file.

    It is read with ``weights_only``, so that it cannot run code.

    Arguments
    ---------
    path : str or Path
        A file with a ``state_dict``, or one that Asteroid's ``serialize()``
        filled.

    Returns
    -------
    dict
        Its content, tensors on the CPU.

    Raises
    ------
    UserError
        Where the file cannot be read, holds more than plain values and
        tensors, or is a training's checkpoint rather than weights.
    """
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
        content = dict(content.items())
    except Exception as error:  # whatever the unpickler meets in a bad file
        raise _as_user_error(path, error) from error
    if "state_dict" in content and "model_name" not in content:
        raise UserError(
            f"teacher_ckpt must hold a network's weights alone, got {path}, a "
            f"checkpoint of a training (it holds {', '.join(content)}); load "
            f"it where it was trained, then torch.save(model.state_dict(), "
            f"path), or for a network of Asteroid's, which a Lightning system "
            f"has as its model, torch.save(system.model.serialize(), path)"
        )
    return content


def _as_user_error(path, error):
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused is None:
        return UserError(
            f"teacher_ckpt must be a state_dict that torch.save wrote, got "
            f"{path} ({type(error).__name__}: {str(error).partition('.')[0]}); "
            f"save it with torch.save(model.state_dict(), path)"
        )
    return UserError(
        f"teacher_ckpt must be read without running code from it, got {path}, "
        f"which needs {refused[1]}; if you trust its source, convert it once:\n"
        f"{_CONVERSION.format(path=str(Path(path)))}\n"
        f"and pass --teacher_ckpt teacher.pth"
    )


def differences(state: dict, own: dict) -> list[str]:
    """Return what keeps ``state`` from being loaded, a line each.

    Arguments
    ---------
    state : dict of str to Tensor
        The weights of a file.
    own : dict of str to Tensor
        The network's ``state_dict``.

    Example
    -------
    >>> differences({"a": torch.ones(2)}, {"a": torch.ones(3)})
    ['shape of a: (2,) in the file, (3,) in the network']
    """
    lines = [f"missing: {key}" for key in own if key not in state]
    lines += [f"unexpected: {key}" for key in state if key not in own]
    return lines + [
        f"shape of {key}: {tuple(state[key].shape)} in the file, "
        f"{tuple(own[key].shape)} in the network"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
