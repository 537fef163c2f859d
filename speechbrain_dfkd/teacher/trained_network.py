"""A trained network's files: read, checked, and written for use elsewhere."""

import io
import re
import zipfile
from collections.abc import Mapping
from itertools import chain, zip_longest
from pathlib import Path

import torch
from torch import nn
from torch.torch_version import TorchVersion

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings.tree import dump_tree, parse_tree, read_tree

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


def read_checkpoint(path: str | Path) -> dict:
    """Return the dict in a file of torch or safetensors, which runs no code."""
    try:
        path = Path(path)
        with open(path, "rb") as stream:
            head = stream.read(200)
        _refuse_other_kinds(path, head)
        # Safetensors: the length of a JSON header, and the header.
        size = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and 8 + size <= path.stat().st_size:
            from safetensors.torch import load_file

            return load_file(path)
        # Asteroid's serialize() stores the version of PyTorch, a kind of str.
        with torch.serialization.safe_globals([TorchVersion]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content.items())
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"teacher_ckpt must be a file that can be read, got {path} in the "
            f"format safetensors, whose package is not installed; "
            f"pip install safetensors"
        ) from error
    except Exception as error:  # whatever the unpickler meets in a bad file
        raise _as_user_error(path, error) from error


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    """Name what is often found in the place of a file of weights."""
    kinds = {
        b"version https://git-lfs": "a pointer of Git LFS, not the file that "
        "it stands for; run git lfs pull where it was cloned, or download it",
        b"<": "a web page or XML, not the file; download the file itself (on "
        "Hugging Face the address with /resolve/ in place of /blob/)",
    }
    for start, kind in kinds.items():
        if head.lstrip().lower().startswith(start):
            raise UserError(
                f"teacher_ckpt must be a file of weights, got {path}, {kind}"
            )
    if not zipfile.is_zipfile(path):
        return
    # torch.save compresses nothing; what does could fill the memory.
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    packed = path.stat().st_size
    if unpacked > packed + 2**20:  # a margin for names
        raise UserError(
            f"teacher_ckpt must be stored uncompressed, as torch.save does, "
            f"got {path} of {packed} bytes, which would unpack to {unpacked}; "
            f"save it again with torch.save"
        )


def _as_user_error(path: Path, error: Exception) -> UserError:
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
        f"{_CONVERSION.format(path=str(path))}\n"
        f"and pass --teacher_ckpt teacher.pth"
    )


def differences(state: dict, own: dict) -> list[str]:
    """Return what keeps a file's ``state`` from being loaded, a line each."""
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
    """Return the names of weights that training or saving has ruined."""
    # An infinite buffer may be a mask, unless it is a running statistic.
    statistics = ("running_mean", "running_var")
    buffers = [name for name, _ in model.named_buffers()]
    masks = {name for name in buffers if not name.endswith(statistics)}
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
    folder: Path, settings: str, key: str, model: nn.Module, sample_rate: int
) -> None:
    """Write a network and its ``key`` of the settings for SpeechBrain's use."""
    require_finite(model, f"the {key}")
    tree = parse_tree(_HEAD, "the exported settings")
    tree["sample_rate"] = sample_rate
    tree["network"] = parse_tree(settings, "the settings")[key]
    weights = io.BytesIO()
    # From a GPU's tensors, a machine without one could not load them.
    on_cpu = {name: value.cpu() for name, value in model.state_dict().items()}
    torch.save(on_cpu, weights)
    write_atomically(folder / SETTINGS, dump_tree(tree).encode())
    # The last: a folder that has them is complete.
    write_atomically(folder / WEIGHTS, weights.getvalue())


def require_finite(model: nn.Module, subject: str) -> None:
    """Refuse a trained network, ``subject``, that has ruined weights."""
    if damaged := non_finite(model.state_dict(), model):
        raise UserError(
            f"{subject} must have finite weights, got NaN or infinity in\n"
            f"{listing(damaged, 5)}\nit is neither tested nor exported; its "
            f"training diverged: delete its save_folder and train it anew, "
            f"with a smaller --lr or in full precision, and look whether its "
            f"data and its teacher are right"
        )


def exported_network(folder: Path) -> Mapping | None:
    """Return the settings of the network in an exported folder, if any."""
    path = folder / SETTINGS
    network = read_tree(path).get("network") if path.exists() else None
    if not isinstance(network, Mapping) or "model" not in network:
        return None
    # It is trained already, so that no leaf has to be named.
    network.setdefault("teacher_leaf", None)
    return network
