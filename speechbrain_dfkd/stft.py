"""The one short-time Fourier transform that models and losses share."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_dfkd.errors import require


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off, where the device has it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def to_autocast(x: Tensor) -> Tensor:
    """Cast an LSTM's input to what autocast computes in, where it is on."""
    # PyTorch chooses its oneDNN code by the type of the input before autocast
    # casts it, and a CPU without bfloat16 instructions then fails; from a
    # bfloat16 input it chooses code that runs.
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)
    if available and torch.is_autocast_enabled(kind):
        return x.to(torch.get_autocast_dtype(kind))
    return x


WINDOWS = {
    "hann": torch.hann_window,
    "sqrt_hann": lambda length: torch.hann_window(length).sqrt(),
}


class STFT(nn.Module):
    """Short-time Fourier transform with an exact inverse.

    Without arguments it is that of the published method. Frame ``t`` is centred
    at sample ``t * hop_length`` of the waveform, whose edges are reflected;
    nothing is normalised. It is ``torch.stft``, made safe to call anywhere: it
    computes in float32 whatever the input and autocast say, as half precision
    overflows here; a waveform too short to be reflected is followed by zeros;
    and where its length is no multiple of the hop, one frame more is centred
    beyond its end. ``torch.stft`` leaves the last samples to the edge of its
    last window, by which an inverse divides: with steps of half a window that
    makes a click of any spectrum but a waveform's own.

    Arguments
    ---------
    n_fft : int
        Length of the Fourier transform in samples.
    win_length : int, optional
        Length of the window in samples, even; ``n_fft`` when None.
    hop_length : int
        Step between frames in samples, at most half a window.
    window : str
        "hann" or its square root "sqrt_hann", both periodic.

    Example
    -------
    >>> stft = STFT(n_fft=8, hop_length=2)
    >>> spec = stft(torch.ones(1, 9))
    >>> spec.shape  # 8 // 2 + 1 bins, frames centred at 0, 2, 4, 6, 8, 10
    torch.Size([1, 5, 6])
    >>> round(spec[0, 0, 0].real.item(), 3)  # a Hann window sums to win / 2
    4.0
    >>> stft.inverse(spec, 9).allclose(torch.ones(1, 9))
    True
    """

    def __init__(
        self,
        n_fft: int = 512,
        win_length: int | None = None,
        hop_length: int = 128,
        window: str = "hann",
    ):
        super().__init__()
        win_length = n_fft if win_length is None else win_length
        _check_sizes(n_fft, win_length, hop_length)
        advice = "the published DCCRN uses 'hann', Asteroid's 'sqrt_hann'"
        known = f"one of {sorted(WINDOWS)}"
        require("window", window in WINDOWS, known, repr(window), advice)
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.register_buffer(
            "window", WINDOWS[window](win_length), persistent=False
        )

    def forward(self, wav: Tensor) -> Tensor:
        """Return the spectrum of waveforms.

        Shape
        -----
        wav : [B, L], L at least 1
        output : [B, n_fft // 2 + 1, 1 + ceil(L / hop_length)], complex64
        """
        n_frames = self.n_frames(wav.shape[1])
        spec = torch.stft(
            self._with_edges(wav.float()),
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.window.float(),
            center=False,
            return_complex=True,
        )
        return spec[..., :n_frames]

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames a waveform has."""
        return 1 + -(-n_samples // self.hop_length)

    def inverse(self, spec: Tensor, length: int) -> Tensor:
        """Return the waveform whose spectrum is nearest to ``spec``.

        Overlap-add of windowed frames over the overlapped squared window
        (Griffin and Lim, 1984, equation 6): exact for the spectrum of a
        waveform, least squares for any other. All samples lie between the
        centres of two frames, so that none is divided by a window's edge.
        ``length`` is the L that ``forward`` was given.

        Shape
        -----
        spec : [B, n_fft // 2 + 1, 1 + ceil(length / hop_length)], complex
        output : [B, length], float32
        """
        if spec.shape[2] != self.n_frames(length):
            raise ValueError(
                f"spec must have {self.n_frames(length)} frames for {length} "
                f"samples, got {spec.shape[2]}; give the length of the "
                "waveform that it was made from"
            )
        # torch.istft reads values on the way: it stalls a GPU and cannot run
        # on the meta device.
        window = self.window.float()
        frames = torch.fft.irfft(spec.transpose(1, 2), n=self.n_fft)
        left = (self.n_fft - self.win_length) // 2
        frames = frames[..., left : left + self.win_length] * window
        energy = window.square().expand(1, frames.shape[1], -1)
        start = self.win_length // 2
        kept = slice(start, start + length)
        wav = self._overlap_add(frames)[:, kept]
        return wav / self._overlap_add(energy)[:, kept]

    def frame_mask(self, lengths: Tensor, n_samples: int) -> Tensor:
        """Tell which frames are centred inside each utterance.

        Shape
        -----
        lengths : [B], SpeechBrain's, relative to ``n_samples``
        output : [B, 1 + ceil(n_samples / hop_length)], bool
        """
        centres = torch.arange(self.n_frames(n_samples), device=lengths.device)
        valid = (lengths * n_samples).round()
        return centres * self.hop_length < valid[:, None]

    def _with_edges(self, wav: Tensor) -> Tensor:
        """Reflect the edges and fill up the last frame, [B, samples]."""
        half = self.n_fft // 2
        filled = F.pad(wav, (0, max(half + 1 - wav.shape[1], 0)))
        # Not by F.pad, whose gradient has no deterministic code on CUDA.
        before = filled[:, 1 : half + 1].flip(1)
        behind = filled[:, -half - 1 : -1].flip(1)
        missing = -wav.shape[1] % self.hop_length + self.n_fft % 2
        return F.pad(torch.cat((before, filled, behind), 1), (0, missing))

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Sum frames [B, T, win] at their places, [B, samples]."""
        batch, n_frames, win = frames.shape
        hop = self.hop_length
        n_hops = -(-win // hop)
        frames = F.pad(frames, (0, n_hops * hop - win))
        parts = frames.reshape(batch, n_frames, n_hops, hop)
        out = frames.new_zeros(batch, n_frames + n_hops, hop)
        for i in range(n_hops):
            out[:, i : i + n_frames] += parts[:, :, i]
        return out.flatten(1)


def _check_sizes(n_fft: int, win_length: int, hop_length: int) -> None:
    """Refuse sizes for which no exact inverse exists."""
    require("n_fft", n_fft >= 2, "at least 2", n_fft, "512 is usual at 16 kHz")
    is_even = win_length % 2 == 0 and 2 <= win_length <= n_fft
    known = f"even and in [2, n_fft = {n_fft}]"
    require("win_length", is_even, known, win_length, "choose another length")
    fits, half = 1 <= hop_length <= win_length // 2, win_length // 2
    known = f"in [1, half a window = {half}]"
    require("hop_length", fits, known, hop_length, "choose a shorter hop")
