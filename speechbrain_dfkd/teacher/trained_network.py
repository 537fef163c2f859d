"""A trained network's files: read, checked, and written for use elsewhere."""

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import ruamel.yaml
import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings.tree import plain_settings

# Asteroid's serialize() stores the version of PyTorch, a kind of str.
_HARMLESS = [TorchVersion]
# Bytes by which a file may be smaller than its content: its names.
_MARGIN = 2**20

_CONVERSION = """\
  import torch  # and, for a whole network, the package that defines it
  content = torch.load({path!r}, map_location="cpu", weights_only=False)
  # a published Asteroid model: without figures and notes
  keys = ("model_name", "state_dict", "model_args")
  torch.save({{key: content[key] for key in keys}}, "teacher.pth")
  # or a training's checkpoint, which holds its weights under a name
  torch.save(content["state_dict"], "teacher.pth")
  # or a whole network: one of Asteroid's, or one of another package
  torch.save(content.serialize(), "teacher.pth")
  torch.save(content.state_dict(), "teacher.pth")"""


def read_checkpoint(path) -> dict:
    """Return the dict that ``torch.save`` wrote to a file.

    It is read with ``weights_only``, so that it cannot run code.

    Arguments
    ---------
    path : str or Path
        A file with a ``state_dict``, bare or within a training's checkpoint,
        one that Asteroid's ``serialize()`` filled, or one of safetensors.

    Returns
    -------
    dict
        Its content, tensors on the CPU.

    Raises
    ------
    UserError
        Where the file cannot be read, or holds more than plain values and
        tensors.
    """
    try:
        _refuse_other_kinds(path)
        if _is_safetensors(path):
            return _read_safetensors(path)
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content.items())
    except UserError:
        raise
    except Exception as error:  # whatever the unpickler meets in a bad file
        raise _as_user_error(path, error) from error


def _refuse_other_kinds(path):
    """Name what is often found in the place of a file of weights."""
    with open(path, "rb") as stream:
        head = stream.read(200).lstrip().lower()
    kinds = {
        b"version https://git-lfs": "a pointer of Git LFS, not the file that "
        "it stands for; run git lfs pull where it was cloned, or download it",
        b"<": "a web page or XML, not the file; download the file itself (on "
        "Hugging Face the address with /resolve/ in place of /blob/)",
    }
    for start, kind in kinds.items():
        if head.startswith(start):
            raise UserError(
                f"teacher_ckpt must be a file of weights, got {path}, {kind}"
            )
    if not zipfile.is_zipfile(path):
        return
    # torch.save compresses nothing; what does could fill the memory.
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > Path(path).stat().st_size + _MARGIN:
        raise UserError(
            f"teacher_ckpt must be stored uncompressed, as torch.save does, "
            f"got {path} of {Path(path).stat().st_size} bytes, which would "
            f"unpack to {unpacked}; save it again with torch.save"
        )


def _is_safetensors(path):
    """Tell whether a file begins with the length of a JSON header."""
    with open(path, "rb") as stream:
        head = stream.read(9)
    size = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and 8 + size <= Path(path).stat().st_size


def _read_safetensors(path):
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            f"teacher_ckpt must be a file that can be read, got {path} in the "
            f"format safetensors, whose package is not installed; "
            f"pip install safetensors"
        ) from error
    return load_file(path)


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


def fitting_weights(content: dict, own: dict) -> dict[tuple, dict]:
    """Return the weights in a file that fit a network, wherever they are.

    Trainings save a network's weights within a dict (``state_dict``,
    ``model_state_dict`` ...), and wrappers put their name before those of
    the weights: ``module.`` (DataParallel), ``_orig_mod.`` (torch.compile),
    ``model.`` (Lightning).

    Arguments
    ---------
    content : dict
        What a file holds.
    own : dict of str to Tensor
        The network's ``state_dict``.

    Returns
    -------
    dict
        {(place, prefix): weights} with the network's names and shapes; the
        place is the name of the dict that they are in, "" for the file.

    Example
    -------
    >>> weight = {"module.a": torch.ones(2)}
    >>> list(
    ...     fitting_weights({"model": weight, "epoch": 7}, {"a": torch.ones(2)})
    ... )
    [('model', 'module.')]
    """
    found = {}
    for place, state in _dicts_of_tensors(content):
        for prefix in _prefixes(state, own):
            cut = _without(prefix, state)
            if not differences(cut, own):
                found[place, prefix] = cut
    return found


def closest_weights(content: dict, own: dict) -> dict[str, Tensor]:
    """Return those weights in a file whose names are most like a network's.

    Arguments
    ---------
    content, own
        As for ``fitting_weights``.

    Returns
    -------
    dict of str to Tensor
        Empty where the file holds no weights.
    """
    candidates = [
        _without(prefix, state)
        for _, state in _dicts_of_tensors(content)
        for prefix in ["", *_prefixes(state, own)]
    ]
    return max(
        candidates, key=lambda state: len(state.keys() & own.keys()), default={}
    )


def _dicts_of_tensors(content, place="", depth=2) -> Iterator[tuple]:
    """Yield the name and the tensors of each dict that has some."""
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield place, tensors
    for key, value in content.items():
        if isinstance(value, dict) and depth:
            inner = f"{place}.{key}" if place else str(key)
            yield from _dicts_of_tensors(value, inner, depth - 1)


def _prefixes(state, own):
    """Return what stands before one of the network's names in a file's."""
    name = next(iter(own), "")
    starts = [key.removesuffix(name) for key in state if key.endswith(name)]
    return [start for start in starts if start == "" or start[-1] == "."]


def _without(prefix, state):
    """Return the tensors whose names have a prefix, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix)
    }


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
    missing = [f"missing: {key}" for key in own if key not in state]
    unexpected = [f"unexpected: {key}" for key in state if key not in own]
    shapes = [
        f"shape of {key}: {tuple(state[key].shape)} in the file, "
        f"{tuple(own[key].shape)} in the network"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    # In turn: one of each kind tells more than five of the first.
    turns = zip_longest(missing, unexpected, shapes)
    return [line for line in chain(*turns) if line]


def non_finite(state: dict, model: nn.Module) -> list[str]:
    """Return the names of weights that training or saving has ruined.

    Arguments
    ---------
    state : dict of str to Tensor
        Weights by the names of ``model``.
    model : nn.Module
        Tells parameters from buffers: an infinite buffer may be a mask, unless
        it is a running statistic.

    Example
    -------
    >>> non_finite({"weight": torch.tensor([[torch.nan]])}, nn.Linear(1, 1))
    ['weight']
    """
    masks = {
        name
        for name, _ in model.named_buffers()
        if not name.endswith(("running_mean", "running_var"))
    }
    return [
        name
        for name, value in state.items()
        if value.isnan().any() or (name not in masks and value.isinf().any())
    ]


EXPORT = "enhancer"  # the folder in a run's output_folder
WEIGHTS = "enhance_model.ckpt"
SETTINGS = "hyperparams.yaml"

_HEAD = """\
# Load with speechbrain.inference.enhancement.WaveformEnhancement.from_hparams
sample_rate: 16000
network: null
modules:
    enhance_model: !ref <network[model]>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        enhance_model: !ref <network[model]>
audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer
    sample_rate: !ref <sample_rate>
"""


def export_enhancer(
    folder, settings: str, key: str, model: nn.Module, sample_rate: int
) -> Path:
    """Write a network's settings and weights for ``WaveformEnhancement``.

    Arguments
    ---------
    folder : str or Path
        Receives ``hyperparams.yaml`` and ``enhance_model.ckpt``; the weights
        come last, so that a folder that has them is complete.
    settings : str
        The experiment's YAML with references resolved.
    key : str
        The settings' key of the network, e.g. ``"student"``.
    model : nn.Module
        The trained network.
    sample_rate : int
        Of the waveforms that it takes, in Hz.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        Where weights are not finite; nothing is written then.
    """
    require_finite(model, f"the {key}")
    folder = Path(folder)
    yaml = ruamel.yaml.YAML()
    tree = yaml.load(_HEAD)
    tree["sample_rate"] = sample_rate
    tree["network"] = yaml.load(settings)[key]
    text = io.StringIO()
    yaml.dump(tree, text)
    weights = io.BytesIO()
    # From a GPU's tensors, a machine without one could not load them.
    on_cpu = {name: value.cpu() for name, value in model.state_dict().items()}
    torch.save(on_cpu, weights)
    write_atomically(folder / SETTINGS, text.getvalue().encode())
    write_atomically(folder / WEIGHTS, weights.getvalue())
    return folder


def require_finite(model: nn.Module, subject: str) -> None:
    """Refuse a trained network that has NaN or infinite weights.

    Arguments
    ---------
    model : nn.Module
        The network.
    subject : str
        What it is, for the message.

    Raises
    ------
    UserError
        Where there are any; it names them.
    """
    damaged = non_finite(model.state_dict(), model)
    if damaged:
        raise UserError(
            f"{subject} must have finite weights, got NaN or infinity in\n"
            f"{listing(damaged, 5)}\nit is neither tested nor exported; its "
            f"training diverged: delete its save_folder and train it anew, "
            f"with a smaller --lr or in full precision, and look whether its "
            f"data and its teacher are right"
        )


def exported_settings(folder) -> dict | None:
    """Return an exported folder's settings as plain values, None if none."""
    path = Path(folder) / SETTINGS
    if not path.exists():
        return None
    return plain_settings(path.read_text(encoding="utf-8"))
