"""The channels of DCCRN, to start a narrower one from a wide one."""

from torch import nn

from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    WeightAxes,
    channels,
    norm_axes,
    within,
)


def dccrn_channels(mask_net: nn.Module, settings: dict) -> ChannelAxes:
    """Return the channels of a DCCRN.

    Each layer has its own complex channels. A decoder layer reads those of
    the layer before it and of the encoder layer on its level.

    Arguments
    ---------
    mask_net : MaskNet
        Holds all of the network's weights.
    settings : dict
        The network's arguments that are no numbers of channels or units.
    """
    layers, skips, x = {}, [], ()
    for i, block in enumerate(mask_net.encoder):
        role = f"encoder.{i}"
        skips.append(channels(role, block.norm.num_features // 2))
        layers[role] = block, _block_axes(WeightAxes((skips[-1], x)))
        x = skips[-1]
    x, layers_of_rnn = mask_net.rnn.channel_layers(x)
    layers |= layers_of_rnn
    for i, block in enumerate(mask_net.decoder[:-1]):
        role = f"decoder.{i}"
        out = channels(role, block.norm.num_features // 2)
        # A transposed convolution keeps its weights as [in, out].
        layers[role] = block, _block_axes(WeightAxes((x + skips.pop(), out), 1))
        x = out
    mask = WeightAxes((x + skips.pop(), ()), 1)
    weights = {"weight_real": mask, "weight_imag": mask}
    layers["mask"] = mask_net.decoder[-1], weights
    return ChannelAxes(settings, layers)


def _block_axes(weight):
    produced = weight.axes[weight.produced]
    return {
        "conv.weight_real": weight,
        "conv.weight_imag": weight,
        # Real parts first, then imaginary ones.
        **within("norm", norm_axes(produced * 2)),
    }
