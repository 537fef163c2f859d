"""The teacher's outputs, kept on disk from one epoch to the next."""

import contextlib
import hashlib
import json
import math
import random
import struct
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.distributed import if_main_process, infer_device
from torch import Tensor, nn
from tqdm import tqdm

from speechbrain_dfkd.data.dataset import (
    OUTPUT_KEYS,
    CroppedRecordings,
    RandomCrop,
    read_wav,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import (
    full_disk_is_user_error,
    require_room,
    stable_hash,
    write_atomically,
)
from speechbrain_dfkd.teacher.frozen import (
    CachedTeacher,
    FrozenTeacher,
    fingerprint,
    follows_teacher,
)

_SCALE = struct.Struct("<f")
_SAMPLE_BYTES = 2
_PEAK_EXPONENT = 15  # float16 ends just below 2^16
_LEAST_EXPONENT = -126  # of a float32 with all its bits


def encode(wav: np.ndarray) -> bytes:
    """Return the content of a file.

    Arguments
    ---------
    wav : np.ndarray
        float32 [frames], finite.

    Example
    -------
    >>> content = encode(np.array([1.0, -0.5], dtype="float32"))
    >>> _SCALE.unpack(content[:4])[0] == 2.0**-14
    True
    >>> np.frombuffer(content[4:], "<f2").tolist()
    [16384.0, -8192.0]
    """
    # peak = m 2^e with m in [0.5, 1); of silence both are 0.
    _, exponent = math.frexp(np.abs(wav).max(initial=0.0))
    exponent = max(exponent - _PEAK_EXPONENT, _LEAST_EXPONENT)
    samples = np.ldexp(wav, -exponent).astype("<f2")
    return _SCALE.pack(2.0**exponent) + samples.tobytes()


class WaveformCache:
    """A folder with a waveform of each utterance, written whole or not at all.

    Several processes may write the same file: each leaves a whole one.

    Arguments
    ---------
    folder : str or Path
        Its files are named after hashes of the utterances' ids, which may
        hold any characters.

    Example
    -------
    >>> cache = WaveformCache(getfixture("tmpdir"))
    >>> cache.write("a", torch.tensor([0.5, 0.25, 0.125]))
    >>> cache.read("a", start=1, frames=2)
    tensor([0.2500, 0.1250])
    >>> cache.is_whole("a", 3), cache.is_whole("a", 4), cache.is_whole("b", 3)
    (True, False, False)
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, utterance_id: str) -> Path:
        """Return the file of an utterance."""
        return self.folder / f"{stable_hash(utterance_id):016x}.f16"

    def is_whole(self, utterance_id: str, frames: int) -> bool:
        """Tell whether the file is there, readable, and of this length."""
        try:
            with open(self.path(utterance_id), "rb") as stream:
                content = stream.read(_SCALE.size)
                size = stream.seek(0, 2)
        except OSError:  # to be made again, which then says what is wrong
            return False
        if size != bytes_of(frames):
            return False
        # After a power failure a file can have its length, and only zeros.
        (scale,) = _SCALE.unpack(content)
        return 0 < scale < math.inf

    def write(self, utterance_id: str, wav: Tensor) -> None:
        """Keep a finite waveform [frames]."""
        content = encode(wav.float().cpu().numpy())
        write_atomically(self.path(utterance_id), content)

    def read(self, utterance_id: str, start: int, frames: int) -> Tensor:
        """Return ``frames`` samples from ``start`` on, float32 [frames].

        Raises
        ------
        UserError
            If the file is gone or shorter.
        """
        path = self.path(utterance_id)
        try:
            with open(path, "rb") as stream:
                head = stream.read(_SCALE.size)
                stream.seek(_SAMPLE_BYTES * start, 1)
                content = stream.read(_SAMPLE_BYTES * frames)
        except FileNotFoundError:
            content = b""
        if len(content) < _SAMPLE_BYTES * frames:
            raise UserError(
                f"{path} must have {start + frames} samples or more, got "
                f"fewer; start the same command again, which makes it anew"
            )
        samples = np.frombuffer(content, "<f2").astype("f4")
        return torch.from_numpy(samples).mul_(*_SCALE.unpack(head))


def bytes_of(frames: int) -> int:
    """Return the size of a file of so many samples."""
    return _SCALE.size + _SAMPLE_BYTES * frames


class CachedCrop:
    """Reads the segment of a cached waveform that a crop takes of the others.

    Arguments
    ---------
    cache : WaveformCache
        Has the utterances.
    crop : RandomCrop
        That of the recordings.
    """

    def __init__(self, cache: WaveformCache, crop: RandomCrop):
        self.cache = cache
        self.crop = crop

    def __call__(self, utterance_id, length):
        return self.cache.read(
            utterance_id, *self.crop.span(utterance_id, length)
        )


# To be raised when the format changes, or what networks make of a recording.
VERSION = 1


def check_cache(hparams: dict, train_set=None) -> bool:
    """Tell whether a training reads its teacher's outputs from a cache.

    Without a teacher to follow there is nothing to store.

    Arguments
    ---------
    hparams : dict
        Objects of a dfkd leaf.
    train_set : torch.utils.data.Dataset, optional
        Checked, where it is made already.

    Raises
    ------
    UserError
        Where the objective needs more of the teacher than its waveform, or
        the training set has no fixed recordings.
    """
    if not (hparams["teacher_cache"] and follows_teacher(hparams)):
        return False
    features = hparams["modules"]["kd_loss"].teacher_features
    if features:
        raise UserError(
            f"teacher_cache must be False for an objective on the teacher's "
            f"features, got True with {', '.join(features)}: only waveforms "
            f"are stored; drop --teacher_cache or choose another --kd"
        )
    if train_set is not None and not isinstance(train_set, CroppedRecordings):
        raise UserError(
            "teacher_cache must be False for a training set that is mixed "
            "while it is trained on, or replaces unreadable recordings "
            "(DNS2020), got True: its utterances are not fixed; drop "
            "--teacher_cache or train on fixed recordings"
        )
    return True


def prepare_teacher(
    model: nn.Module, hparams: dict, settings: dict, train_set, run_opts
) -> FrozenTeacher | CachedTeacher:
    """Return what a student is to follow; make its outputs where asked to.

    With ``teacher_cache`` the outputs that are missing from the cache are
    made, and ``train_set`` gets an item ``teacher_sig`` that is cut like the
    recordings. Any number of processes may do so at once: each takes missing
    utterances in an order of its own, and leaves out what another one made
    meanwhile. Nothing random of the training is drawn.

    Arguments
    ---------
    model : nn.Module
        The trained network.
    hparams : dict
        Objects of a dfkd leaf.
    settings : dict
        The same as plain values.
    train_set : torch.utils.data.Dataset
        The training set.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Device and progress bar. With ``test_only`` or ``debug``, hardly any
        output would be read, and none is made.

    Raises
    ------
    UserError
        Where the cache does not fit on its disk or cannot be written, or an
        output is not finite.
    """
    teacher = FrozenTeacher(model)
    hardly_read = run_opts.test_only or run_opts.debug
    if hardly_read or not check_cache(hparams, train_set):
        return teacher
    rate = train_set.crop.sample_rate
    name = f"{settings['teacher']['name']}-{_key(model, settings, train_set)}"
    cache = WaveformCache(Path(hparams["teacher_cache_folder"], name))
    device = run_opts.device or infer_device()
    teacher.to(device)
    _fill(cache, teacher, train_set.data, rate, device, run_opts.noprogressbar)
    teacher.cpu()
    crop = CachedCrop(cache, train_set.crop)
    train_set.add_dynamic_item(crop, ["id", "length"], "teacher_sig")
    train_set.set_output_keys([*OUTPUT_KEYS, "teacher_sig"])
    return CachedTeacher(model)


def _key(model, settings, train_set):
    """Return a hash of all that decides what the cache holds.

    Neither device nor precision are in it: the teacher runs in float32. On a
    GPU that is TF32 in its convolutions, as PyTorch's defaults have it, so
    that a cache made there can differ from a CPU's by about as much as the
    files round, or a few times that for a large network.
    """
    decisive = {
        "version": VERSION,
        "weights": fingerprint(model),
        "network": settings["teacher"],
        "sample_rate": settings["sample_rate"],
        "recordings": [
            [name, entry["length"], *_state(entry)]
            for name, entry in sorted(train_set.data.items())
        ],
    }
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _state(entry):
    path = Path(entry["noisy_wav"])
    if not path.is_file():
        raise UserError(
            f"{path} must exist, got no such file; run the recipe without "
            f"skip_prep, or restore the file that was there at preparation"
        )
    return path.stat().st_size, path.stat().st_mtime_ns


def _fill(cache, teacher, recordings, rate, device, noprogressbar):
    """Make the outputs that are not there."""
    frames = {
        name: round(entry["length"] * rate)
        for name, entry in recordings.items()
    }
    missing = _missing(cache, frames)
    if if_main_process():
        _announce(cache, frames, missing)
    if not missing:
        return
    hidden = noprogressbar or not if_main_process()
    random.Random().shuffle(missing)  # so that processes share the work
    with _writing(cache.folder, lambda: _bytes(_missing(cache, frames))):
        cache.folder.mkdir(parents=True, exist_ok=True)
        require_room(cache.folder, _bytes(missing))
        for name, length in tqdm(
            missing, "Teacher cache", unit="file", disable=hidden
        ):
            if not cache.is_whole(name, length):
                path = recordings[name]["noisy_wav"]
                noisy = read_wav(path, rate, 0, length).to(device)
                wav = teacher(noisy[None]).wav[0]
                _require_usable(wav, length, path)
                cache.write(name, wav)


def _missing(cache, frames):
    return [item for item in frames.items() if not cache.is_whole(*item)]


def _bytes(items):
    return sum(bytes_of(length) for _, length in items)


def _announce(cache, frames, missing):
    print(
        f"Teacher cache: {cache.folder}, {len(frames)} files, "
        f"{_bytes(frames.items()) / 1e9:.3g} GB; to be made: "
        f"{len(missing)} files, {_bytes(missing) / 1e9:.3g} GB",
        flush=True,
    )


def _require_usable(wav, length, path):
    if len(wav) != length or not torch.isfinite(wav).all():
        raise UserError(
            f"the teacher's output must be finite and as long as its input, "
            f"got another for {path}; choose another --teacher_ckpt, or train "
            f"the teacher anew"
        )


@contextlib.contextmanager
def _writing(folder, needed):
    """Turn what keeps a folder from being written into a ``UserError``."""
    try:
        with full_disk_is_user_error(folder, needed):
            yield
    except OSError as error:
        raise UserError(
            f"teacher_cache_folder must be a folder to write in, got {folder} "
            f"({error}); choose another --teacher_cache_folder"
        ) from error
