"""DCCRN: a complex convolutional recurrent network on the spectrum."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.errors import UserError, require
from speechbrain_dfkd.models.base import (
    Enhanced,
    check_choice,
    check_features,
    check_sizes,
    check_waveform,
    keep,
    pad_to_frames,
)
from speechbrain_dfkd.models.channel_axes import (
    ChannelAxes,
    WeightAxes,
    channels,
    norm_axes,
    within,
)
from speechbrain_dfkd.models.complex_layers import (
    ComplexBlock,
    ComplexConv2d,
    ComplexRecurrence,
    RealRecurrence,
)
from speechbrain_dfkd.stft import STFT

# -100 dB of full scale: the level that a silent waveform counts with.
LOWEST_LEVEL = 1e-5
# Keeps the gain of an empty bin finite.
LOWEST_MAGNITUDE = 1e-6


def mask_polar(spec: Tensor, mask: Tensor) -> Tensor:
    """Bound the mask's magnitude by tanh, then multiply (mask "E").

    Shape
    -----
    spec : [B, F, T], complex
    mask : [B, 2, F, T], real and imaginary part
    output : [B, F, T], complex
    """
    # The small number keeps the root's gradient finite where the mask is 0.
    magnitude = (mask.square().sum(1, keepdim=True) + 1e-12).sqrt()
    return mask_complex(spec, mask * (magnitude.tanh() / magnitude))


def mask_complex(spec: Tensor, mask: Tensor) -> Tensor:
    """Multiply by the mask (mask "C"); shapes as in ``mask_polar``."""
    return spec * torch.complex(mask[:, 0], mask[:, 1])


def mask_parts(spec: Tensor, mask: Tensor) -> Tensor:
    """Scale each part by its own (mask "R"); shapes as in ``mask_polar``."""
    return torch.complex(spec.real * mask[:, 0], spec.imag * mask[:, 1])


MASKS = {"E": mask_polar, "C": mask_complex, "R": mask_parts}
RNNS = {"complex": ComplexRecurrence, "real": RealRecurrence}


class MaskNet(nn.Module):
    """The network of DCCRN, from a spectrum to an unbounded complex mask.

    Shape
    -----
    stacked, output : [B, 2, n_bins, T], real part first
    """

    def __init__(
        self,
        n_bins: int,
        channels: Sequence[int],
        lstm_units: int,
        lstm_layers: int,
        kernel_size: tuple[int, int],
        rnn: str,
        time_padding: str,
    ):
        super().__init__()
        check_choice("rnn", rnn, RNNS)
        check_choice("time_padding", time_padding, ("left", "none"))
        sizes = {f"channels[{i}]": n for i, n in enumerate(channels)}
        sizes["kernel_size[1]"] = kernel_size[1]
        check_sizes(lstm_units=lstm_units, lstm_layers=lstm_layers, **sizes)
        tall, odd = kernel_size[0], kernel_size[0] % 2 == 1
        require("kernel_size[0]", odd, "odd", tall, "(5, 2) is published")
        if not channels or n_bins % 2 ** len(channels):
            raise UserError(
                "channels must have from 1 to as many entries as n_fft // 2 can "
                f"be halved, got {len(channels)} for {n_bins} bins; take fewer"
            )
        shrinks = time_padding == "none"
        self.min_frames = 1 + shrinks * len(channels) * (kernel_size[1] - 1)
        widths = [1, *channels]
        self.encoder = nn.ModuleList(
            ComplexBlock(n_in, n_out, kernel_size, time_padding)
            for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
        )
        n_features = widths[-1] * (n_bins >> len(channels))
        self.rnn = RNNS[rnn](n_features, lstm_units, lstm_layers)
        self.decoder = nn.ModuleList(
            ComplexBlock(2 * n_in, n_out, kernel_size, time_padding, True)
            for n_in, n_out in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        last = (kernel_size, time_padding, True, True)
        self.decoder.append(ComplexConv2d(2 * widths[1], 1, *last))
        # What can be asked for, in the order of computation.
        layers = range(len(channels))
        self.feature_names = [f"encoder.{i}" for i in layers]
        self.feature_names += ["rnn", *(f"decoder.{i}" for i in layers)]

    def forward(self, stacked: Tensor, features: Collection[str] = ()) -> tuple:
        """Return the mask and the features asked for."""
        check_features(features, self.feature_names)
        kept = {}
        # Channels last spares the convolutions a copy of each input.
        x = stacked.contiguous(memory_format=torch.channels_last)
        skips = []
        for i, layer in enumerate(self.encoder):
            x = keep(layer(x), f"encoder.{i}", features, kept)
            skips.append(x)
        x = keep(self.rnn(x), "rnn", features, kept)
        for i, layer in enumerate(self.decoder):
            x = keep(layer(x, skips.pop()), f"decoder.{i}", features, kept)
        return x, kept


class DCCRN(nn.Module):
    """Deep complex convolution recurrent network for speech enhancement.

    Hu et al., DCCRN: Deep Complex Convolution Recurrent Network for
    Phase-Aware Speech Enhancement, Interspeech 2020, arXiv 2008.00264. A
    complex encoder and decoder with skip connections around recurrent layers
    estimate a mask ``M`` of the spectrum ``Y`` of the noisy waveform:

    - mask "E": ``Y tanh(abs(M)) exp(i angle(M))``,
    - mask "C": ``Y M``,
    - mask "R": ``Re(Y) Re(M) + i Im(Y) Im(M)``.

    The defaults are the published DCCRN-CL, 3.67 M parameters. They look ahead
    6 frames, one a decoder layer (37.5 ms), on top of the window (25 ms), and
    to the end with ``normalise_level``. Two published details differ between
    the public implementations and are arguments: ``window`` with
    ``dropped_bin``, and ``time_padding``. The batch normalisation is the usual
    one on stacked channels, not the complex whitening of the paper.

    Arguments
    ---------
    channels : sequence of int
        Complex channels of each encoder layer; the paper counts real and
        imaginary ones together (32 to 256).
    lstm_units, lstm_layers : int
        Complex units of each LSTM layer, and the number of layers.
    kernel_size : (int, int)
        Convolution kernel over frequency (odd) and over time.
    rnn : str
        "complex" (DCCRN-CL), or "real": one real LSTM with twice as many
        units over both parts (DCCRN-E).
    mask : str
        "E", "C" or "R".
    time_padding : str
        "left": every layer keeps the number of frames (the authors' code).
        "none": the encoder shortens and the decoder restores it (Asteroid).
    window : str
        "hann" (the authors' code) or "sqrt_hann" (Asteroid).
    dropped_bin : str
        The bin that is set to zero for an even number of them: "dc" (the
        authors' code) or "nyquist" (Asteroid).
    dc_gain : float
        Scales bin 0 as the mask network sees it, not what is masked; only
        where bin 0 is not dropped. ``1 / sqrt(2)`` makes it Asteroid's STFT.
    n_fft, win_length, hop_length : int
        Sizes of the STFT in samples.
    input_compression : float
        Exponent, above 0, of the magnitudes that the layers see; the mask is
        applied to the spectrum itself. 1: the spectrum as it is, as
        published. About 0.3 brings weak bins within reach of a small network
        (Li et al., On the Importance of Power Compression and Phase
        Estimation in Monaural Speech Dereverberation, JASA Express Letters
        2021).
    normalise_level : bool
        Whether the layers see the spectrum as if the noisy waveform had an
        RMS of 1, so that ``model(gain * noisy)`` is ``gain * model(noisy)``
        [ours]. The level is that of the whole waveform: an output sample then
        depends on all of the input, zeros padded to it included.

    Shape
    -----
    noisy : [B, L]
    output.wav : [B, L]
    output.features : "encoder.0" and so on, "rnn", "decoder.0" and so on, the
        last of them being the raw mask: [B, 2C, F, T], real channels first,
        frames as of ``STFT``

    Example
    -------
    >>> model = DCCRN(channels=(4, 8), lstm_units=4)
    >>> enhanced = model(torch.randn(2, 1601), features=["encoder.1"])
    >>> enhanced.wav.shape
    torch.Size([2, 1601])
    >>> enhanced.features["encoder.1"].shape  # 2 * 8, 256 / 2**2, 1 + 17
    torch.Size([2, 16, 64, 18])
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128, 128, 128),
        lstm_units: int = 128,
        lstm_layers: int = 2,
        kernel_size: tuple[int, int] = (5, 2),
        rnn: str = "complex",
        mask: str = "E",
        time_padding: str = "left",
        window: str = "hann",
        dropped_bin: str = "dc",
        dc_gain: float = 1.0,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 100,
        input_compression: float = 1.0,
        normalise_level: bool = False,
    ):
        super().__init__()
        compression, positive = input_compression, input_compression > 0
        require("input_compression", positive, "above 0", compression, "try 1")
        check_choice("mask", mask, MASKS)
        check_choice("dropped_bin", dropped_bin, ("dc", "nyquist"))
        fits = dc_gain == 1 or dropped_bin == "nyquist"
        constraint, advice = "1 where bin 0 is dropped", "drop 'nyquist'"
        require("dc_gain", fits, constraint, dc_gain, advice)
        self.stft = STFT(n_fft, win_length, hop_length, window)
        sizes = (channels, lstm_units, lstm_layers, kernel_size)
        self.mask_net = MaskNet(n_fft // 2, *sizes, rnn, time_padding)
        self.feature_names = self.mask_net.feature_names
        self.settings = {
            "layers": len(channels),
            "lstm_layers": lstm_layers,
            "kernel_size": list(kernel_size),
            "rnn": rnn,
            "mask": mask,
            "time_padding": time_padding,
            "window": window,
            "dropped_bin": dropped_bin,
            "dc_gain": dc_gain,
            "input_compression": input_compression,
            "normalise_level": normalise_level,
            "n_fft": n_fft,
            "win_length": win_length,
            "hop_length": hop_length,
        }
        self.apply_mask = MASKS[mask]
        self.input_compression = input_compression
        self.normalise_level = normalise_level
        self.edges = (1, 0) if dropped_bin == "dc" else (0, 1)
        self.dc_gain = dc_gain
        # Shorter waveforms are filled up with zeros.
        shortest = (self.mask_net.min_frames - 1) * hop_length
        self._min_length = max(win_length, shortest)

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one.

        Each layer has its own complex channels. A decoder layer reads those
        of the layer before it and of the encoder layer on its level.
        """
        layers, skips, x = {}, [], ()
        for i, block in enumerate(self.mask_net.encoder):
            role = f"encoder.{i}"
            skips.append(channels(role, block.norm.num_features // 2))
            layers[role] = block, _block_axes(WeightAxes((skips[-1], x)))
            x = skips[-1]
        x, layers_of_rnn = self.mask_net.rnn.channel_layers(x)
        layers |= layers_of_rnn
        *blocks, last = self.mask_net.decoder
        for i, block in enumerate(blocks):
            role = f"decoder.{i}"
            out = channels(role, block.norm.num_features // 2)
            # A transposed convolution keeps its weights as [in, out].
            weight = WeightAxes((x + skips.pop(), out), 1)
            layers[role] = block, _block_axes(weight)
            x = out
        mask = WeightAxes((x + skips.pop(), ()), 1)
        layers["mask"] = last, {"weight_real": mask, "weight_imag": mask}
        return ChannelAxes(self.settings, layers)

    @torch.no_grad()
    def negate(self) -> None:
        """Change the sign of the mask, and so of the output, for good."""
        for weight in self.mask_net.decoder[-1].parameters():
            weight.neg_()

    def forward(
        self, noisy: Tensor, features: Collection[str] = ()
    ) -> Enhanced:
        """Enhance waveforms at 16 kHz, and keep the features asked for."""
        check_waveform(noisy)
        padded = pad_to_frames(noisy, self._min_length, 1)
        spec = self.stft(padded)
        low, high = self.edges
        inner = spec[:, low : spec.shape[1] - high]
        mask, kept = self.mask_net(self._seen(inner, noisy), features)
        masked = F.pad(self.apply_mask(inner, mask.float()), (0, 0, low, high))
        wav = self.stft.inverse(masked, padded.shape[1])
        return Enhanced(wav[:, : noisy.shape[1]], kept)

    def _seen(self, spec: Tensor, wav: Tensor) -> Tensor:
        """Return what the layers see of a spectrum, [B, 2, F, T]."""
        if self.normalise_level:
            # Sums of squares are not for half precision.
            rms = wav.float().square().mean(1).sqrt()
            spec = spec / rms.clamp_min(LOWEST_LEVEL)[:, None, None]
        if self.input_compression != 1:
            magnitude = spec.abs().clamp_min(LOWEST_MAGNITUDE)
            spec = spec * magnitude.pow(self.input_compression - 1)
        stacked = torch.view_as_real(spec).movedim(-1, 1)
        if self.dc_gain == 1:  # nearly always: spare the copy
            return stacked
        dc, others = stacked[:, :, :1], stacked[:, :, 1:]
        return torch.cat((self.dc_gain * dc, others), 2)


def _block_axes(weight: WeightAxes) -> dict[str, WeightAxes]:
    produced = weight.axes[weight.produced]
    of_conv = {"conv.weight_real": weight, "conv.weight_imag": weight}
    # Real parts first, then imaginary ones.
    return of_conv | within("norm", norm_axes(produced * 2))
