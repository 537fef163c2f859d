"""DCCRN: a complex convolutional recurrent network on the spectrum."""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.models.arguments import check_choice
from speechbrain_dfkd.models.channel_axes import ChannelAxes
from speechbrain_dfkd.models.dccrn_channels import dccrn_channels
from speechbrain_dfkd.models.enhanced import Enhanced
from speechbrain_dfkd.models.mask_net import MaskNet
from speechbrain_dfkd.models.spectral_input import (
    at_unit_level,
    compress,
    scale_first_bin,
)
from speechbrain_dfkd.models.spectral_masks import MASKS
from speechbrain_dfkd.models.waveform import check_waveform, pad_to_frames
from speechbrain_dfkd.stft import STFT


class DCCRN(nn.Module):
    """Deep complex convolution recurrent network for speech enhancement.

    Hu et al., DCCRN: Deep Complex Convolution Recurrent Network for
    Phase-Aware Speech Enhancement, Interspeech 2020, arXiv 2008.00264. A
    complex encoder and decoder with skip connections around recurrent layers
    estimate a mask ``M`` of the spectrum ``Y`` of the noisy waveform:

    - mask "E": ``Y tanh(abs(M)) exp(i angle(M))``,
    - mask "C": ``Y M``,
    - mask "R": ``Re(Y) Re(M) + i Im(Y) Im(M)``.

    The defaults are the published DCCRN-CL, 3.67 M parameters. They look
    ahead 6 frames, one a decoder layer (37.5 ms), on top of the window
    (25 ms): see ``look_ahead_samples``. Two published details differ between
    the public implementations and are arguments: ``window`` with
    ``dropped_bin``, and ``time_padding``. The batch normalisation is the usual
    one on stacked channels, not the complex whitening of the paper.

    Arguments
    ---------
    channels : sequence of int
        Complex channels of each encoder layer; the paper counts real and
        imaginary ones together (32 to 256).
    lstm_units : int
        Complex units of each LSTM layer.
    lstm_layers : int
        Number of LSTM layers.
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
    output.features : [B, 2C, F, T], real channels first, frames as of ``STFT``

    Raises
    ------
    ValueError
        If an argument is out of its range, the input is not a waveform, or a
        feature has no such name.

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
        if not input_compression > 0:
            raise ValueError(
                f"input_compression must be above 0, got {input_compression}; "
                "1 leaves the spectrum as it is"
            )
        check_choice("mask", mask, MASKS)
        check_choice("dropped_bin", dropped_bin, ("dc", "nyquist"))
        _check_dc_gain(dc_gain, dropped_bin)
        self.stft = STFT(n_fft, win_length, hop_length, window)
        self.mask_net = MaskNet(
            n_fft // 2,
            channels,
            lstm_units,
            lstm_layers,
            kernel_size,
            rnn,
            time_padding,
        )
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
        self._min_length = max(
            win_length, (self.mask_net.min_frames - 1) * hop_length
        )

    @property
    def look_ahead_samples(self) -> float:
        """How many later input samples an output sample can depend on.

        Two half windows, that of the output's frame and that of the input's,
        less their zero sample each, and the frames between them; all of them
        with ``normalise_level``.
        """
        if self.normalise_level:
            return math.inf
        frames = self.mask_net.look_ahead_frames
        return self.stft.win_length - 2 + frames * self.stft.hop_length

    @property
    def feature_names(self) -> list[str]:
        """What can be asked for, in the order of computation."""
        return self.mask_net.feature_names

    def channel_axes(self) -> ChannelAxes:
        """Return what a narrower network needs to start from this one."""
        return dccrn_channels(self.mask_net, self.settings)

    @torch.no_grad()
    def negate(self) -> None:
        """Change the sign of the mask, and so of the output, for good."""
        for weight in self.mask_net.decoder[-1].parameters():
            weight.neg_()

    def forward(
        self, noisy: Tensor, features: Collection[str] = ()
    ) -> Enhanced:
        """Enhance a batch of waveforms.

        Arguments
        ---------
        noisy : Tensor
            Noisy waveforms at 16 kHz.
        features : collection of str
            The names of the features to keep: "encoder.0" and so on, "rnn",
            "decoder.0" and so on, the last of them being the raw mask.

        Returns
        -------
        Enhanced
        """
        check_waveform(noisy)
        padded = pad_to_frames(noisy, self._min_length, 1)
        spec = self.stft(padded)
        low, high = self.edges
        inner = spec[:, low : spec.shape[1] - high]
        seen = at_unit_level(inner, noisy) if self.normalise_level else inner
        seen = compress(seen, self.input_compression)
        stacked = torch.view_as_real(seen).movedim(-1, 1)
        stacked = scale_first_bin(stacked, self.dc_gain)
        mask, kept = self.mask_net(stacked, features)
        masked = F.pad(self.apply_mask(inner, mask.float()), (0, 0, low, high))
        wav = self.stft.inverse(masked, padded.shape[1])
        return Enhanced(wav[:, : noisy.shape[1]], kept)


def _check_dc_gain(gain: float, dropped_bin: str):
    """Refuse a gain of a bin that the network does not see."""
    if gain != 1 and dropped_bin == "dc":
        raise ValueError(
            f"dc_gain must be 1 where bin 0 is dropped, got {gain}; "
            "set dropped_bin to 'nyquist'"
        )
