"""What the comparisons with Asteroid's networks share."""

import torch


def put(state, prefix, values):
    state.update({f"{prefix}.{name}": value for name, value in values.items()})


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
