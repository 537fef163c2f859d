"""Mixtures that are made once and kept as recordings, for validation."""

from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from speechbrain_dfkd.data.audio_check import WavFile
from speechbrain_dfkd.data.mixture_source import MixtureSource
from speechbrain_dfkd.data.pairs import Pair
from speechbrain_dfkd.data.resample_cache import (
    HEADER_BYTES,
    to_16_bits,
    wav_bytes,
)
from speechbrain_dfkd.files import full_disk_is_user_error, write_atomically


def write_fixed_mixtures(
    source: MixtureSource, count: int, folder: Path, n_jobs: int | None = None
) -> dict:
    """Write mixtures as 16-bit wavs, the same ones every time.

    Arguments
    ---------
    source : MixtureSource
        Makes them.
    count : int
        How many.
    folder : Path
        Gets ``noisy/mixture_0000.wav``, ``clean/mixture_0000.wav``, ...
    n_jobs : int, optional
        Worker processes; by default one for each processor.

    Returns
    -------
    dict
        ``{id: Pair}`` of ``audio_check.WavFile``.
    """
    size = HEADER_BYTES + 2 * source.frames
    with full_disk_is_user_error(folder.parent, lambda: 2 * count * size):
        pairs = Parallel(n_jobs=n_jobs or cpu_count())(
            delayed(_write)(source, index, folder) for index in range(count)
        )
    return dict(pairs)


def _write(source, index, folder):
    noisy, clean, _ = source.mixture("fixed", index)
    name = f"mixture_{index:04d}"
    wavs = []
    for side, signal in (("noisy", noisy), ("clean", clean)):
        path = folder / side / f"{name}.wav"
        content = wav_bytes(to_16_bits(signal), source.sample_rate)
        write_atomically(path, content)
        wavs.append(WavFile(path, source.sample_rate, source.frames))
    return name, Pair(*wavs)
