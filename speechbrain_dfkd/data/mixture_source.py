"""Mixtures of recordings on disk, each a function of its key alone."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_dfkd.data.manifest import read_json
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.recordings import Recordings
from speechbrain_dfkd.data.resample_cache import resample
from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError, listing

# The tables that a mixture manifest names; the last one may be null.
TABLES = ("speech", "noise", "impulse_responses")
_TRIES = 10


@dataclasses.dataclass
class MixtureSource:
    """Draws speech, noise and impulse responses, and mixes them.

    Arguments
    ---------
    speech, noise : Recordings
        Mono, at ``sample_rate``.
    responses : Recordings or None
        Impulse responses at any rate from ``sample_rate`` on; of several
        channels the first is taken. None: nothing is reverberated.
    mixer : Mixer
        How they are mixed.
    frames : int
        Length of a mixture, in samples.
    sample_rate : int
        In Hz.
    """

    speech: Recordings
    noise: Recordings
    responses: Recordings | None
    mixer: Mixer
    frames: int
    sample_rate: int

    def mixture(self, *key):
        """Return the mixture of a key, for example (seed, epoch, index).

        Arguments
        ---------
        key : tuple of (str or int)
            Another key gives another mixture.

        Returns
        -------
        noisy, clean : np.ndarray
            float32 [frames].
        unreadable : list of str
            Recordings that were drawn but could not be read; others were
            drawn in their place.

        Raises
        ------
        UserError
            If hardly any recording can be read, or has sound in it.
        """
        rng, unreadable = np.random.default_rng(stable_hash(*key)), []

        def piece_of(draw):
            return lambda most, rng: _readable(
                draw, rng, unreadable, self._piece, most
            )

        def draw_noise(rng):
            return self.noise.draw(rng, self.mixer.noise_by_duration)

        def draw_response(rng):
            draw = self.responses.draw
            return _readable(draw, rng, unreadable, self._response)

        noisy, clean = self.mixer.mix(
            piece_of(self.speech.draw),
            piece_of(draw_noise),
            draw_response if self.responses else None,
            self.frames,
            self.sample_rate,
            rng,
        )
        return noisy, clean, unreadable

    def _piece(self, wav, rng, most):
        frames = min(most, wav.frames)
        start = int(rng.integers(wav.frames - frames + 1))
        samples, rate = soundfile.read(wav.path, frames, start, dtype="float32")
        if (rate, samples.shape) != (self.sample_rate, (frames,)):
            raise OSError("it changed since the preparation")
        return samples

    def _response(self, wav, rng):
        samples, rate = soundfile.read(
            wav.path, dtype="float32", always_2d=True
        )
        first = np.ascontiguousarray(samples[:, 0])
        if rate != self.sample_rate:
            first = resample(first, rate, self.sample_rate)
        return first


def open_tables(manifest) -> dict:
    """Open the tables of recordings that a mixture manifest names.

    Arguments
    ---------
    manifest : str or Path
        JSON: ``{"speech": file, "noise": file, "impulse_responses": file or
        null}``, the files relative to it.

    Returns
    -------
    dict
        ``{"speech": Recordings, "noise": ..., "responses": ... or None}``.

    Example
    -------
    >>> from speechbrain_dfkd.data.audio_check import WavFile
    >>> from speechbrain_dfkd.data.manifest import write_json
    >>> from speechbrain_dfkd.data.recordings import write_recordings
    >>> folder = Path(getfixture("tmpdir"))
    >>> write_recordings(folder / "s.npy", [WavFile(Path("/a.wav"), 16000, 8)])
    >>> tables = {
    ...     "speech": "s.npy",
    ...     "noise": "s.npy",
    ...     "impulse_responses": None,
    ... }
    >>> write_json(folder / "train.json", tables)
    >>> len(open_tables(folder / "train.json")["noise"])
    1
    """
    manifest = Path(manifest)
    names = read_json(manifest)
    opened = [
        Recordings(manifest.parent / names[table]) if names[table] else None
        for table in TABLES
    ]
    return dict(zip(("speech", "noise", "responses"), opened, strict=True))


def tables_exist(manifest) -> bool:
    """Tell whether a mixture manifest and all that it leads to are there."""
    try:
        tables = open_tables(manifest).values()
    except UserError:  # missing or spoilt
        return False
    return all(
        os.path.exists(wav.path) for table in tables if table for wav in table
    )


def is_mixture_manifest(manifest) -> bool:
    """Tell whether a manifest names tables to mix, not pairs of recordings."""
    return tuple(read_json(manifest)) == TABLES


def _readable(draw, rng, unreadable, read, *arguments):
    """Read what is drawn; a recording that cannot be read is noted."""
    failed = []
    for _ in range(_TRIES):
        wav = draw(rng)
        try:
            samples = read(wav, rng, *arguments)
        except (soundfile.SoundFileError, OSError):
            failed.append(wav.path)
        else:
            unreadable += failed
            return samples
    raise UserError(
        f"recordings must be readable, got {_TRIES} in a row that are not:\n"
        f"{listing(failed)}\nput them back, or run the recipe without skip_prep"
    )
