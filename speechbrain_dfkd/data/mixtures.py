"""Mixtures of speech and noise: made while training, or written once."""

import dataclasses
import functools
import io
import logging
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from joblib import Parallel, cpu_count, delayed
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import Dataset

from speechbrain_dfkd.data.audio import (
    HEADER_BYTES,
    WavFile,
    resample,
    to_16_bits,
    wav_bytes,
)
from speechbrain_dfkd.data.dataset import crop_recordings
from speechbrain_dfkd.data.manifest import read_json
from speechbrain_dfkd.data.mixing import Mixer
from speechbrain_dfkd.data.pairs import Pair
from speechbrain_dfkd.errors import UserError, check_setting, is_number, listing
from speechbrain_dfkd.files import (
    full_disk_is_user_error,
    stable_hash,
    write_atomically,
)

_FIELDS = ["path", "sample_rate", "frames"]


def write_recordings(path, wavs):
    """Write a table of recordings, sorted by their paths.

    Arguments
    ---------
    path : str or Path
        The ``.npy`` file.
    wavs : iterable of WavFile
        Checked recordings.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "speech.npy"
    >>> write_recordings(path, [WavFile(Path("/clean/a.wav"), 16000, 800)])
    >>> Recordings(path)[0].path
    '/clean/a.wav'
    """
    path = Path(path)
    rows = sorted(
        (os.fsencode(wav.path.absolute()), wav.sample_rate, wav.frames)
        for wav in wavs
    )
    longest = max((len(name) for name, _, _ in rows), default=1)
    formats = [f"S{longest}", "<i4", "<i8"]
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows, list(zip(_FIELDS, formats, strict=True))))
    data = buffer.getvalue()
    with full_disk_is_user_error(path.parent, lambda: len(data)):
        write_atomically(path, data)


class Recordings:
    """The recordings of a table, in its order.

    Arguments
    ---------
    path : str or Path
        What ``write_recordings`` wrote.

    Raises
    ------
    UserError
        If it is missing, holds something else, or no recordings.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._rows = self._mapped()

    def _mapped(self):
        try:
            rows = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error
        if rows.dtype.names != tuple(_FIELDS) or not len(rows):
            raise self._unusable("none")
        return rows

    def _unusable(self, found):
        return UserError(
            f"{self.path} must list recordings, got {found}; run the recipe "
            "without skip_prep to write it again"
        )

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index: int) -> WavFile:
        name, sample_rate, frames = self._rows[index]
        return WavFile(os.fsdecode(name), int(sample_rate), int(frames))

    def draw(self, rng: np.random.Generator, by_duration: bool = False):
        """Return a random recording.

        Arguments
        ---------
        rng : np.random.Generator
            Takes one draw.
        by_duration : bool
            Whether a recording that is twice as long is twice as likely;
            otherwise all are equally likely.

        Returns
        -------
        WavFile
        """
        if not by_duration:
            return self[int(rng.integers(len(self)))]
        position = rng.integers(self._ends[-1])
        return self[int(np.searchsorted(self._ends, position, "right"))]

    @functools.cached_property
    def _ends(self):
        return np.cumsum(self._rows["frames"])

    def __getstate__(self):
        # A process that is started anew maps the file itself.
        return {"path": self.path}

    def __setstate__(self, state):
        self.__init__(state["path"])


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
    >>> from speechbrain_dfkd.data.audio import WavFile
    >>> from speechbrain_dfkd.data.manifest import write_json
    >>> from speechbrain_dfkd.data.mixtures import write_recordings
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


logger = logging.getLogger(__name__)

# From this many mixtures on a share of them means something.
_ENOUGH = 100
_MOST_TRIES = 10


class ReplaceUnreadable(Dataset):
    """A training set whose unreadable items give way to others.

    Which ones is a function of (seed, epoch, index). Items get ``unreadable``,
    a list of what is wrong with those that were replaced.

    Arguments
    ---------
    dataset : Dataset
        Raises a ``UserError`` for an item that cannot be read.
    seed : int
        Any; another one gives other replacements.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of the training.
    """

    def __init__(
        self, dataset: Dataset, seed: int, epoch_counter: EpochCounter
    ):
        self.dataset = dataset
        self.seed = seed
        self.epoch_counter = epoch_counter

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        key, found = (self.seed, self.epoch_counter.current, index), []
        for attempt in range(_MOST_TRIES):
            try:
                return {**self.dataset[index], "unreadable": found}
            except UserError as error:
                found.append(str(error).partition(";")[0])
            index = stable_hash("replace", *key, attempt) % len(self)
        raise UserError(
            f"recordings must be readable, got {_MOST_TRIES} in a row that are not:"
            f"\n{listing(found)}\nput them back, or run the recipe without "
            "skip_prep"
        )


class UnreadableFiles:
    """What had to be replaced, and whether it is too much.

    Of several processes each counts its own.

    Arguments
    ---------
    max_share : float
        How many of the mixtures may need another recording, in [0, 1].

    Raises
    ------
    UserError
        If that is no share.

    Example
    -------
    >>> unreadable = UnreadableFiles(max_share=0.5)
    >>> unreadable.append([[], ["noise/a.wav"]])
    >>> unreadable.finish(epoch=1)
    {'unreadable': 1}
    >>> UnreadableFiles(max_share=0.5).finish(epoch=2)
    {}
    """

    def __init__(self, max_share: float):
        check_setting(
            "max_unreadable_share",
            max_share,
            is_number(max_share, 0, 1),
            "a share from 0 to 1",
        )
        self.max_share = max_share
        self.mixtures = 0
        self.affected = 0
        self.paths = set()

    def append(self, unreadable: list):
        """Count a batch: for each mixture the paths that were replaced.

        Raises
        ------
        UserError
            If too many mixtures of the epoch were affected.
        """
        self.mixtures += len(unreadable)
        self.affected += sum(map(bool, unreadable))
        self.paths.update(path for paths in unreadable for path in paths)
        if self.mixtures >= _ENOUGH:
            self._check()

    def finish(self, epoch: int) -> dict:
        """Name the files of an epoch in the log; return what to log."""
        if not self.paths:
            return {}
        self._check()
        logger.warning(
            "epoch %d: %d recordings could not be read in training; %d of %d "
            "mixtures took another:\n%s",
            epoch,
            len(self.paths),
            self.affected,
            self.mixtures,
            listing(sorted(self.paths)),
        )
        return {"unreadable": len(self.paths)}

    def _check(self):
        if self.affected > self.max_share * self.mixtures:
            raise UserError(
                f"at most max_unreadable_share = {self.max_share:g} of the "
                "mixtures must need another recording, got "
                f"{self.affected} of {self.mixtures}, for\n"
                f"{listing(sorted(self.paths))}\nput these files back, run "
                "the recipe without skip_prep, or raise that share in "
                "--dataset; it then goes on"
            )


class Mixtures(Dataset):
    """An epoch's mixtures, each a function of (seed, epoch, index).

    Neither the number of workers nor a resume changes them, and processes
    that share an epoch's indices draw different ones. Items have ``id``,
    ``noisy_sig`` [frames], ``clean_sig`` [frames] and ``unreadable``, a list
    of recordings that had to be replaced.

    Arguments
    ---------
    source : MixtureSource
        Makes the mixtures.
    count : int
        Mixtures in an epoch.
    seed : int
        Any; another one gives other mixtures.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of the training. The workers of a DataLoader are started anew
        each epoch and get a copy with the epoch of that moment.
    """

    def __init__(
        self,
        source: MixtureSource,
        count: int,
        seed: int,
        epoch_counter: EpochCounter,
    ):
        self.source = source
        self.count = count
        self.seed = seed
        self.epoch_counter = epoch_counter

    def __len__(self):
        return self.count

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.count:
            raise IndexError(f"index must be below {self.count}, got {index}")
        epoch = self.epoch_counter.current
        noisy, clean, unreadable = self.source.mixture(self.seed, epoch, index)
        return {
            "id": f"mixture_{index}",
            "noisy_sig": torch.from_numpy(noisy),
            "clean_sig": torch.from_numpy(clean),
            "unreadable": unreadable,
        }


def mix_recordings(
    train_annotation,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
    mixer: Mixer,
    mixtures_per_epoch: int | None,
) -> Dataset:
    """Make the training set of a manifest: mixed now, or before.

    Arguments
    ---------
    train_annotation : str or Path
        A mixture manifest, or one of synthesised pairs, whose segments are
        those of ``speechbrain_dfkd.data.dataset.crop_recordings``.
    segment_seconds : float
        Length of a training segment.
    sample_rate : int
        Of the recordings, in Hz.
    seed : int
        Of everything random.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Every epoch has other mixtures.
    mixer : Mixer
        How recordings are mixed.
    mixtures_per_epoch : int or None
        None: as many as recordings of speech. Not used for pairs.

    Returns
    -------
    torch.utils.data.Dataset

    Raises
    ------
    UserError
        If the manifest cannot be used, or a number is out of range.
    """
    if not is_mixture_manifest(train_annotation):
        pairs = crop_recordings(
            train_annotation, segment_seconds, sample_rate, seed, epoch_counter
        )
        return ReplaceUnreadable(pairs, seed, epoch_counter)
    tables = open_tables(train_annotation)
    count = (
        len(tables["speech"])
        if mixtures_per_epoch is None
        else mixtures_per_epoch
    )
    is_count = isinstance(count, int) and count > 0
    check_setting("mixtures_per_epoch", count, is_count, "an integer above 0")
    frames = round(segment_seconds * sample_rate)
    source = MixtureSource(
        **tables, mixer=mixer, frames=frames, sample_rate=sample_rate
    )
    return Mixtures(source, count, seed, epoch_counter)


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
