"""PyTorch's default initialisation, for weights that are not its modules'."""

import math

import torch
from torch import nn


def uniform_weight(*shape: int) -> nn.Parameter:
    """Return a weight as ``nn.Linear`` and ``nn.Conv2d`` initialise theirs.

    Uniform in ``+- 1 / sqrt(fan_in)``, with ``fan_in`` the product of all
    sizes but the first.
    """
    weight = nn.Parameter(torch.empty(shape))
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    return weight


def uniform_bias(size: int, fan_in: int) -> nn.Parameter:
    """Return a bias, uniform in ``+- 1 / sqrt(fan_in)``."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(size).uniform_(-bound, bound))
