"""The teacher's outputs, kept on disk from one epoch to the next."""

import hashlib
import json
import math
import random
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.distributed import if_main_process
from torch import Tensor, nn
from tqdm import tqdm

from speechbrain_dfkd.data.dataset import (
    CroppedRecordings,
    RandomCrop,
    read_wav,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import require_room, stable_hash, write_atomically
from speechbrain_dfkd.teacher.frozen import (
    FrozenTeacher,
    fingerprint,
    teacher_roles,
)

# To be raised when the format changes, or what networks make of a recording.
VERSION = 1
_SCALE = struct.Struct("<f")
_SAMPLE_BYTES = 2
_PEAK_EXPONENT = 15  # float16 ends just below 2^16
_LEAST_EXPONENT = -126  # of a float32 with all its bits


def check_cache(hparams: dict, train_set=None) -> bool:
    """Tell whether a training reads its teacher's outputs from a cache.

    Without a teacher to follow there is nothing to store. A UserError says
    what cannot be stored: features, and sets without fixed recordings.
    """
    if not (hparams["teacher_cache"] and "follow" in teacher_roles(hparams)):
        return False
    features = hparams["kd"]["loss"].teacher_features
    if features:
        raise UserError(
            f"teacher_cache must be False for an objective on the teacher's "
            f"features, got True with {', '.join(features)}: only waveforms "
            f"are stored; drop --teacher_cache or choose another --kd"
        )
    if train_set is not None and not isinstance(train_set, CroppedRecordings):
        raise UserError(
            "teacher_cache must be False for a training set that is mixed "
            "while it is trained on, got True: its utterances are not fixed; "
            "drop --teacher_cache or train on fixed recordings"
        )
    return True


def cache_name(model: nn.Module, settings: dict, recordings: Mapping) -> str:
    """Return a folder's name, by a hash of all that decides what it holds.

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
            for name, entry in sorted(recordings.items())
        ],
    }
    text = json.dumps(decisive, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{settings['teacher']['name']}-{key}"


def _state(entry):
    path = Path(entry["noisy_wav"])
    if not path.is_file():
        raise UserError(
            f"{path} must exist, got no such file; run the recipe without "
            f"skip_prep, or restore the file that was there at preparation"
        )
    return path.stat().st_size, path.stat().st_mtime_ns


class TeacherCache:
    """A folder with a waveform of each utterance, written whole or not at all.

    Files are named after hashes of the utterances' ids, which may hold any
    characters: a scale, a power of two, and samples in float16. Several
    processes may write the same file: each leaves a whole one.
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
        wav = wav.float().cpu().numpy()
        # peak = m 2^e with m in [0.5, 1); of silence both are 0.
        _, exponent = math.frexp(np.abs(wav).max(initial=0.0))
        exponent = max(exponent - _PEAK_EXPONENT, _LEAST_EXPONENT)
        samples = np.ldexp(wav, -exponent).astype("<f2")
        content = _SCALE.pack(2.0**exponent) + samples.tobytes()
        write_atomically(self.path(utterance_id), content)

    def read(self, utterance_id: str, start: int, frames: int) -> Tensor:
        """Return ``frames`` samples from ``start`` on, float32 [frames]."""
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

    def reader(self, crop: RandomCrop) -> Callable:
        """Return what reads of (id, length) the segment that a crop takes."""
        return partial(self._read_crop, crop)

    def _read_crop(self, crop, utterance_id, length):
        return self.read(utterance_id, *crop.span(utterance_id, length))

    def fill(
        self,
        teacher: FrozenTeacher,
        recordings: Mapping,
        rate: int,
        device: str,
        progress: bool,
    ) -> None:
        """Make the outputs that are not there; draw nothing of the training.

        Any number of processes may do so at once: each takes missing
        utterances in an order of its own, and leaves out what another one made
        meanwhile. A UserError says which output is not finite, or why the
        folder cannot be written.
        """
        frames = {
            name: round(entry["length"] * rate)
            for name, entry in recordings.items()
        }
        missing = [item for item in frames.items() if not self.is_whole(*item)]
        if if_main_process():
            print(
                f"Teacher cache: {self.folder}, {_sum(frames.items())}; to be "
                f"made: {_sum(missing)}",
                flush=True,
            )
        if not missing:
            return
        random.Random().shuffle(missing)  # so that processes share the work
        hidden = not (progress and if_main_process())
        bar = tqdm(missing, "Teacher cache", unit="file", disable=hidden)
        teacher.to(device)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            require_room(self.folder, sum(bytes_of(n) for _, n in missing))
            for name, length in bar:
                if not self.is_whole(name, length):
                    path = recordings[name]["noisy_wav"]
                    noisy = read_wav(path, rate, 0, length).to(device)
                    wav = teacher(noisy[None]).wav[0]
                    _require_usable(wav, length, path)
                    self.write(name, wav)
        except OSError as error:
            raise UserError(
                f"teacher_cache_folder must be a folder to write in, with "
                f"room, got {self.folder} ({error}); free some space or choose "
                f"another --teacher_cache_folder: what is finished is kept"
            ) from error
        teacher.cpu()


def bytes_of(frames: int) -> int:
    """Return the size of a file of so many samples."""
    return _SCALE.size + _SAMPLE_BYTES * frames


def _sum(items):
    size = sum(bytes_of(frames) for _, frames in items)
    return f"{len(items)} files, {size / 1e9:.3g} GB"


def _require_usable(wav, length, path):
    if len(wav) != length or not torch.isfinite(wav).all():
        raise UserError(
            f"the teacher's output must be finite and as long as its input, "
            f"got another for {path}; choose another --teacher_ckpt, or train "
            f"the teacher anew"
        )
