"""Datasets of noisy and clean waveforms for a Brain."""

from collections.abc import Callable

from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data.manifest import read_manifest
from speechbrain_dfkd.data.reading import read_wav
from speechbrain_dfkd.data.stable_hash import stable_hash
from speechbrain_dfkd.errors import UserError

OUTPUT_KEYS = ["id", "noisy_sig", "clean_sig"]
# Each signal is made by itself from the same three items, so that a dataset
# can be pickled (SpeechBrain's items with two outputs are open generators).
SIGNALS = {"noisy_sig": "noisy_wav", "clean_sig": "clean_wav"}


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

    def span(self, utterance_id: str, length: float):
        """Return first sample and number of samples; ``length`` in seconds."""
        frames = round(length * self.sample_rate)
        start = self.start(utterance_id, frames)
        return start, min(self.segment, frames)

    def __call__(self, path, utterance_id, length):
        span = self.span(utterance_id, length)
        return read_wav(path, self.sample_rate, *span)


class CroppedRecordings(DynamicItemDataset):
    """Random segments of fixed recordings; items as in ``make_datasets``.

    Arguments
    ---------
    manifest : dict
        Of the recordings.
    crop : RandomCrop
        Cuts them; it can cut other signals of an utterance alike.
    """

    def __init__(self, manifest: dict, crop: RandomCrop):
        super().__init__(manifest, _items(crop), OUTPUT_KEYS)
        self.crop = crop


def crop_recordings(
    train_annotation,
    segment_seconds: float,
    sample_rate: int,
    seed: int,
    epoch_counter: EpochCounter,
) -> CroppedRecordings:
    """Make a training set of random segments of noisy and clean recordings.

    Arguments, items and errors are those of ``make_datasets``.
    """
    train = read_manifest(train_annotation)
    _check_segment(segment_seconds, train)
    crop = RandomCrop(segment_seconds, sample_rate, seed, epoch_counter)
    return CroppedRecordings(train, crop)


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
    return DynamicItemDataset(manifest, _items(reader), OUTPUT_KEYS)


def _items(reader):
    return [
        {"func": reader, "takes": [path, "id", "length"], "provides": signal}
        for signal, path in SIGNALS.items()
    ]


def _check_segment(segment_seconds, train):
    longest = max(entry["length"] for entry in train.values())
    if not 0 < segment_seconds <= longest:
        raise UserError(
            "segment_seconds must be above 0 and at most the longest training "
            f"file's {longest:g} s, got {segment_seconds}; choose another "
            "length"
        )
