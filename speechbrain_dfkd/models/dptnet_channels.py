"""The channels of DPTNet, to start a narrower one from a wide one."""

from torch import nn

from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    WeightAxes,
    channels,
    conv_axes,
    lstm_axes,
    norm_axes,
    within,
)


def dptnet_channels(model: nn.Module, settings: dict) -> ChannelAxes:
    """Return the channels of a DPTNet.

    All layers between encoder and decoder add to one residual path, and the
    mask multiplies the filters that this path begins with: one group. Each
    head of an attention has its own channels, of which queries and keys share
    one order, and so do the values and what reads them. A network of fewer
    blocks has the first ones.

    Arguments
    ---------
    model : DPTNet
        The network.
    settings : dict
        Its arguments that are no numbers of channels, units or blocks.
    """
    filters = channels("filters", model.encoder.out_channels)
    gated = channels("project", model.project.out_features)
    layers = {
        "encoder": (model.encoder, conv_axes(filters, ())),
        "norm": (model.norm, norm_axes(filters)),
        "activation": (model.activation, {}),
        "project": (model.project, conv_axes(gated, filters)),
        "gate": (model.gate, conv_axes(filters * 2, gated)),
        # A transposed convolution to one waveform: it reads the filters.
        "decoder": (model.decoder, {"weight": WeightAxes((filters, ()), 1)}),
    }
    for i, block in enumerate(model.blocks):
        for path, layer in block.named_children():
            role = f"block.{i}.{path}"
            layers[role] = layer, _transformer_axes(layer, role, filters)
    return ChannelAxes(settings, layers)


def _transformer_axes(layer, role, residual):
    of_head = layer.attention_out.in_features // layer.heads
    compared, values = (), ()
    for head in range(layer.heads):
        compared += channels(f"{role}.head.{head}.key", of_head)
        values += channels(f"{role}.head.{head}.value", of_head)
    forward, backward = (
        channels(f"{role}.lstm.{direction}", layer.lstm.hidden_size)
        for direction in ("forward", "backward")
    )
    return {
        **within("attention_in", conv_axes(compared * 2 + values, residual)),
        **within("attention_out", conv_axes(residual, values)),
        **within("attention_norm", norm_axes(residual)),
        **within("lstm", lstm_axes(forward, residual)),
        **within("lstm", lstm_axes(backward, residual, "l0_reverse")),
        **within("project", conv_axes(residual, forward + backward)),
        **within("norm", norm_axes(residual)),
    }
