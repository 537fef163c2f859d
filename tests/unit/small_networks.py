"""One small network of each kind, and wider ones beside them."""

from speechbrain_dfkd.models import DCCRN, ConvTasNet, DPTNet


def dccrn(wider=0, **settings):
    sizes = {"n_fft": 32, "win_length": 32, "hop_length": 8, **settings}
    channels = (2 + wider, 3 + 2 * wider, 4 + wider)
    return DCCRN(channels, 5 + wider, **sizes)


def conv_tasnet(wider=0, blocks=2, repeats=2, **settings):
    filters, bottleneck = 6 + wider, 3 + 2 * wider
    sizes = {"bottleneck_channels": bottleneck, "hidden_channels": 5 + wider}
    sizes["skip_channels"] = 4 + wider
    return ConvTasNet(
        filters, 16, blocks=blocks, repeats=repeats, **sizes, **settings
    )


def dptnet(wider=0, blocks=2, **settings):
    sizes = {"chunk_size": 8, "heads": 2, **settings}
    return DPTNet(
        6 + 2 * wider, 16, blocks=blocks, lstm_units=4 + wider, **sizes
    )


# Under each name: a network and its settings.
NETWORKS = {
    "dccrn": (dccrn, {}),
    "dccrn_one_lstm": (dccrn, {"lstm_layers": 1}),
    "dccrn_real": (dccrn, {"rnn": "real"}),
    "conv_tasnet": (conv_tasnet, {}),
    "conv_tasnet_causal": (
        conv_tasnet,
        {"norm": "cumulative", "causal": True, "mask": "relu"},
    ),
    "dptnet": (dptnet, {}),
}
