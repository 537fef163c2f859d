"""Which channels of a network the axes of its weights belong to.

A group of channels is what has one order throughout a network: all weights
that make, normalise or read these channels must be cut alike. An axis is a
tuple of groups, laid one after the other along it, so that tuples add up as
concatenated inputs do: ``outputs * 4`` for the gates of an LSTM, ``x + skip``
for joined inputs. Where an axis is longer than its groups, as after
flattening channels and bins, each channel holds equally many places in a row.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn


class Channels(NamedTuple):
    """A group of channels: its name in every network, and its size."""

    name: str
    size: int


class WeightAxes(NamedTuple):
    """What the axes of one weight are.

    ``axes`` has a tuple for each axis, empty for one without channels; axes
    that follow have none. ``produced`` is the axis of the channels that the
    weight produces or holds.
    """

    axes: tuple[tuple[Channels, ...], ...]
    produced: int = 0


@dataclass
class ChannelAxes:
    """The channels of a network, by which a narrower one starts from it.

    ``settings`` must be the same in both networks, under the names of the
    network's arguments. ``layers`` is {role: (module, {name of a weight in it:
    WeightAxes})}; weights and buffers without an entry have no channels.
    """

    settings: dict
    layers: dict[str, tuple[nn.Module, dict[str, WeightAxes]]]

    def tensors(self) -> dict[str, tuple[Tensor, WeightAxes]]:
        """Return {role: (parameter or buffer, its axes)}."""
        return {
            f"{role}.{name}": (tensor, axes.get(name, WeightAxes(())))
            for role, (module, axes) in self.layers.items()
            for name, tensor in module.state_dict(keep_vars=True).items()
        }

    def sizes(self) -> dict[str, int]:
        """Return {group: how many channels it has}."""
        return {
            group.name: group.size
            for _, weights in self.layers.values()
            for weight in weights.values()
            for axis in weight.axes
            for group in axis
        }


def channels(name: str, size: int) -> tuple[Channels]:
    """Return an axis of one group."""
    return (Channels(name, size),)


def within(part: str, weights: dict) -> dict[str, WeightAxes]:
    """Return axes under the names that weights have in a larger module."""
    return {f"{part}.{name}": axes for name, axes in weights.items()}


def conv_axes(outputs: tuple, inputs: tuple) -> dict[str, WeightAxes]:
    """Return the axes of a convolution or a linear layer."""
    return {
        "weight": WeightAxes((outputs, inputs)),
        "bias": WeightAxes((outputs,)),
    }


def norm_axes(held: tuple) -> dict[str, WeightAxes]:
    """Return the axes of a norm, batch normalisation's statistics too."""
    names = ("weight", "bias", "running_mean", "running_var")
    return {name: WeightAxes((held,)) for name in names}


def lstm_axes(units: tuple, inputs: tuple, layer: str = "l0") -> dict:
    """Return the axes of an LSTM's layer "l0", "l0_reverse" and so on."""
    gates = units * 4
    return {
        f"weight_ih_{layer}": WeightAxes((gates, inputs)),
        f"weight_hh_{layer}": WeightAxes((gates, units)),
        f"bias_ih_{layer}": WeightAxes((gates,)),
        f"bias_hh_{layer}": WeightAxes((gates,)),
    }
