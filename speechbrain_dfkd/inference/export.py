"""Writes a trained network as a folder that SpeechBrain can run."""

import io
from pathlib import Path

import ruamel.yaml
import torch
from torch import nn

from speechbrain_dfkd.checkpoint_file import non_finite
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.settings_tree import plain_settings

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
