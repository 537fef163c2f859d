"""What the comparisons with Asteroid's networks share."""

import sys
from types import SimpleNamespace

import pytest
import torch


def speech_like(length):
    """Noise with a falling spectrum and a syllable rate of 4 Hz."""
    torch.manual_seed(1)
    noise = torch.randn(2, length)
    falling = noise.cumsum(1) - noise.cumsum(1).mean(1, keepdim=True)
    rate = 2 * torch.pi * 4 / 16000 * torch.arange(length)
    return (0.01 * falling + 0.1 * noise) * (1.2 + rate.sin())


def relative(error, reference):
    return (error.norm() / reference.norm()).item()


def count(model):
    return sum(p.numel() for p in model.parameters())


def unsettle(model):
    """Set gains, biases and slopes as if the network had been trained."""
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("beta"):
            torch.nn.init.normal_(parameter, std=0.1)
        elif parameter.shape == (1,):
            torch.nn.init.uniform_(parameter, 0.1, 0.4)


def make_dccrnet(architecture="DCCRN-CL"):
    """Return a DCCRNet as if it had been trained."""
    from asteroid.masknn import recurrent
    from asteroid.models import DCCRNet

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # It passes numpy integers, which today's nn.LSTM refuses.
        init = recurrent.DCCRMaskNetRNN.__init__
        patch.setattr(
            recurrent.DCCRMaskNetRNN,
            "__init__",
            lambda self, in_size: init(self, int(in_size)),
        )
        model = DCCRNet(architecture)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # About the level of what comes in, so that no layer saturates.
            module.running_mean.normal_(std=0.05)
            module.running_var.uniform_(0.05, 0.2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, 0.1, 0.4)
    return model.eval()


def ours_of(theirs, family):
    """Return our network with the arguments and weights of Asteroid's."""
    settings = family.settings(theirs.get_model_args())
    ours = family.network(**settings)
    ours.load_state_dict(family.weights(theirs.state_dict(), settings))
    return ours.eval()


def serialized(model):
    """Return what ``model.serialize()`` does, without Lightning too.

    It notes Lightning's version, and needs it for nothing else.
    """
    with pytest.MonkeyPatch.context() as patch:
        lightning = SimpleNamespace(__version__="2.0")
        patch.setitem(sys.modules, "pytorch_lightning", lightning)
        return model.serialize()
