"""Datasets of noisy and clean waveforms for a Brain."""

from collections.abc import Callable
from pathlib import Path

from speechbrain.dataio import audio_io
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError

OUTPUT_KEYS = ["id", "noisy_sig", "clean_sig"]
# Each signal is made by itself from the same three items, so that a dataset
# can be pickled (SpeechBrain's items with two outputs are open generators).
SIGNALS = {"noisy_sig": "noisy_wav", "clean_sig": "clean_wav"}


def read_wav(path, sample_rate: int, start: int = 0, frames: int = -1):
    """Read a mono recording, or ``frames`` samples of it from ``start`` on.

    Arguments
    ---------
    path : str
        The file.
    sample_rate : int
        What it must have, in Hz.
    start, frames : int
        The part to read, in samples; -1 is up to the end.

    Returns
    -------
    torch.Tensor
        [frames].

    Raises
    ------
    UserError
        If the file is gone, unreadable, shorter, or at another rate.
    """
    if not Path(path).is_file():
        raise _changed(path, "exist", "no such file")
    try:
        wav, rate = audio_io.load(path, frame_offset=start, num_frames=frames)
    except RuntimeError as error:
        raise _changed(path, "be readable", str(error)) from error
    if rate != sample_rate:
        raise _changed(path, f"have {sample_rate} Hz", f"{rate} Hz")
    if frames >= 0 and wav.shape[-1] != frames:
        end = start + frames
        raise _changed(path, f"have {end} samples or more", "fewer")
    return wav.squeeze(0)


def _changed(path, constraint, found):
    return UserError(
        f"{path} must {constraint}, got {found}; run the recipe without "
        "skip_prep, or restore the file that was there at preparation"
    )


class WholeSignal:
    """Reads a recording from beginning to end.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate

    def __call__(self, path, utterance_id, length):
        return read_wav(path, self.sample_rate)


class RandomCrop:
    """Reads a random segment, the same one of an utterance's two recordings.

    The offset is a function of (seed, epoch, utterance id) only: the order of
    the batches, the number of workers and other users of random numbers do
    not change it. An utterance that is shorter than the segment is read whole.

    Arguments
    ---------
    segment_seconds : float
        Length of the segment.
    sample_rate : int
        In Hz.
    seed : int
        Any; another one gives other segments.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of the training. The workers of a DataLoader are started anew
        each epoch and get a copy with the epoch of that moment.

    Example
    -------
    >>> from speechbrain.utils.epoch_loop import EpochCounter
    >>> counter = EpochCounter(limit=9)
    >>> crop = RandomCrop(2.0, 16000, seed=0, epoch_counter=counter)
    >>> crop.start("p226_001", frames=32000)
    0
    >>> first = crop.start("p226_001", frames=64000)
    >>> counter.current = 1
    >>> first == crop.start("p226_001", frames=64000)
    False
    """

    def __init__(
        self,
        segment_seconds: float,
        sample_rate: int,
        seed: int,
        epoch_counter: EpochCounter,
    ):
        self.segment = round(segment_seconds * sample_rate)
        self.sample_rate = sample_rate
        self.seed = seed
        self.epoch_counter = epoch_counter

    def start(self, utterance_id: str, frames: int):
        """Return the first sample of the segment of ``frames`` samples."""
        key = stable_hash(self.seed, self.epoch_counter.current, utterance_id)
        return key % max(frames - self.segment + 1, 1)

    def __call__(self, path, utterance_id, length):
        frames = round(length * self.sample_rate)
        start = self.start(utterance_id, frames)
        segment = min(self.segment, frames)
        return read_wav(path, self.sample_rate, start, segment)


def crop_recordings(
    train_annotation,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
) -> DynamicItemDataset:
    """Make a training set of random segments of noisy and clean recordings.

    Arguments, items and errors are those of ``make_datasets``.
    """
    train = read_manifest(train_annotation)
    _check_segment(segment_seconds, train)
    crop = RandomCrop(segment_seconds, sample_rate, seed, epoch_counter)
    return _dataset(train, crop)


def make_datasets(
    train_annotation,
    valid_annotation,
    test_annotation,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
    make_train: Callable = crop_recordings,
):
    """Make the three datasets from their manifests.

    Items are ``id``, ``noisy_sig`` [frames] and ``clean_sig`` [frames]:
    random segments for training, whole utterances in the order of their ids
    for validation and test.

    Arguments
    ---------
    train_annotation, valid_annotation, test_annotation : str
        Manifests, see ``speechbrain_dfkd.data.manifest``.
    segment_seconds : float
        Length of a training segment.
    sample_rate : int
        Of the recordings, in Hz.
    seed : int
        Of the random segments.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Every epoch has other segments.
    make_train : callable
        Makes the training set; takes the arguments of ``crop_recordings``.

    Returns
    -------
    dict
        ``"train"``, ``"valid"`` and ``"test"``.

    Raises
    ------
    UserError
        If a manifest cannot be used or the segment does not fit the data.
    """
    whole = WholeSignal(sample_rate)
    return {
        "train": make_train(
            train_annotation, segment_seconds, sample_rate, seed, epoch_counter
        ),
        "valid": _dataset(read_manifest(valid_annotation), whole),
        "test": _dataset(read_manifest(test_annotation), whole),
    }


def _dataset(manifest, reader):
    items = [
        {"func": reader, "takes": [path, "id", "length"], "provides": signal}
        for signal, path in SIGNALS.items()
    ]
    return DynamicItemDataset(manifest, items, OUTPUT_KEYS)


def _check_segment(segment_seconds, train):
    longest = max(entry["length"] for entry in train.values())
    if not 0 < segment_seconds <= longest:
        raise UserError(
            "segment_seconds must be above 0 and at most the longest training "
            f"file's {longest:g} s, got {segment_seconds}; choose another "
            "length"
        )
