"""The channels of Conv-TasNet, to start a narrower one from a wide one."""

from torch import nn

from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    WeightAxes,
    channels,
    conv_axes,
    norm_axes,
    within,
)


def conv_tasnet_channels(
    model: nn.Module, settings: dict, repeats: int
) -> ChannelAxes:
    """Return the channels of a Conv-TasNet.

    The mask multiplies the encoded filters, and the blocks add up to one
    residual path and one skip path, so that each of these is one group. The
    hidden channels are a block's own. A block's role is its place in its
    repeat: a network of fewer blocks or repeats has the first ones, with the
    same dilations.

    Arguments
    ---------
    model : ConvTasNet
        The network.
    settings : dict
        Its arguments that are no numbers of channels or blocks.
    repeats : int
        Number of repeats.
    """
    filters = channels("filters", model.encoder.out_channels)
    residual = channels("bottleneck", model.bottleneck[1].out_channels)
    skip = channels("skip", model.mask[1].in_channels)
    layers = {
        "encoder": (model.encoder, conv_axes(filters, ())),
        "bottleneck.norm": (model.bottleneck[0], norm_axes(filters)),
        "bottleneck": (model.bottleneck[1], conv_axes(residual, filters)),
        "mask.activation": (model.mask[0], {}),
        "mask": (model.mask[1], conv_axes(filters, skip)),
        # A transposed convolution to one waveform: it reads the filters.
        "decoder": (model.decoder, {"weight": WeightAxes((filters, ()), 1)}),
    }
    blocks = len(model.blocks) // repeats
    for i, block in enumerate(model.blocks):
        role = f"repeat.{i // blocks}.block.{i % blocks}"
        layers[role] = block, _block_axes(block, role, residual, skip)
    return ChannelAxes(settings, layers)


def _block_axes(block, role, residual, skip):
    hidden = channels(f"{role}.hidden", block.depthwise.out_channels)
    return {
        **within("expand.0", conv_axes(hidden, residual)),
        **within("expand.2", norm_axes(hidden)),
        **within("depthwise", conv_axes(hidden, ())),
        **within("norm", norm_axes(hidden)),
        **within("project", conv_axes(residual + skip, hidden)),
    }
