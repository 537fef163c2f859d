"""The teacher's outputs, kept on disk from one epoch to the next."""

import errno
import hashlib
import json
import math
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.distributed import if_main_process, infer_device
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from speechbrain_dfkd.data.dataset import (
    OUTPUT_KEYS,
    CroppedRecordings,
    RandomCrop,
    batches_of_one_length,
    loader_options,
    lost_workers_are_user_errors,
    read_wav,
)
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import (
    stable_hash,
    unwritable_is_user_error,
    write_atomically,
)
from speechbrain_dfkd.teacher.frozen import (
    CachedTeacher,
    CleanTeacher,
    FrozenTeacher,
    fingerprint,
    teacher_roles,
)

# To be raised when the format changes, or what networks make of a recording.
VERSION = 1
_PEAK_EXPONENT = 15  # float16 ends just below 2^16
_LEAST_EXPONENT = -126  # of a float32 with all its bits


def choose_teacher(
    model: nn.Module | None,
    hparams: dict,
    settings: dict,
    train_set: Dataset,
    run_opts: RunOptions,
) -> FrozenTeacher | CachedTeacher | CleanTeacher | None:
    """Return whom the student follows, made of the trained network if any."""
    if hparams["clean_as_teacher"]:
        return CleanTeacher(model)
    if model is None:
        return None
    teacher = FrozenTeacher(model)
    hardly_read = run_opts.test_only or run_opts.debug
    if hardly_read or not check_cache(hparams, train_set):
        return teacher
    name = _folder_name(model, settings, train_set.data)
    cache = TeacherCache(Path(hparams["teacher_cache_folder"], name))
    cache.fill(teacher, train_set.data, hparams, run_opts)
    read = partial(cache.read_crop, train_set.crop)
    train_set.add_dynamic_item(read, ["id", "length"], "teacher_sig")
    train_set.set_output_keys([*OUTPUT_KEYS, "teacher_sig"])
    return CachedTeacher(model)


def check_cache(hparams: dict, train_set: Dataset | None = None) -> bool:
    """Tell whether the teacher's outputs are cached; refuse what cannot be."""
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


def _folder_name(model: nn.Module, settings: dict, recordings: Mapping) -> str:
    """Return a name by a hash of all that decides what the folder holds."""
    # Neither device nor precision: the teacher runs in float32. On a GPU that
    # is TF32 in its convolutions, PyTorch's default, so that a cache made there
    # can differ from a CPU's by about as much as the files round, or a few
    # times that for a large network.
    decisive = {
        "version": VERSION,
        "weights": fingerprint(model),
        "network": settings["teacher"],
        "sample_rate": settings["sample_rate"],
        "recordings": [
            [name, entry["length"], state.st_size, state.st_mtime_ns]
            for name, entry in sorted(recordings.items())
            for state in [os.stat(entry["noisy_wav"])]
        ],
    }
    text = json.dumps(decisive, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{settings['teacher']['name']}-{key}"


@dataclass
class TeacherCache:
    """A folder with a waveform of each utterance, whole or not at all."""

    folder: Path

    # Ids may hold any characters. A file is a scale and samples in float16.
    def path(self, utterance_id: str) -> Path:
        """Return the file of an utterance."""
        return self.folder / f"{stable_hash(utterance_id):016x}.f16"

    def is_whole(self, utterance_id: str, frames: int) -> bool:
        """Tell whether the file is there, readable, and of this length."""
        path = self.path(utterance_id)
        try:
            scale, size = np.fromfile(path, "<f4", 1), path.stat().st_size
        except OSError:  # to be made again, which then says what is wrong
            return False
        # After a power failure a file can have its length, and only zeros.
        return size == bytes_of(frames) and 0 < scale.item() < math.inf

    def write(self, utterance_id: str, wav: Tensor) -> None:
        """Keep a finite waveform [frames]."""
        wav = wav.float().cpu().numpy()
        # peak = m 2^e with m in [0.5, 1); of silence both are 0.
        _, exponent = math.frexp(np.abs(wav).max(initial=0.0))
        exponent = max(exponent - _PEAK_EXPONENT, _LEAST_EXPONENT)
        samples = np.ldexp(wav, -exponent).astype("<f2")
        scale = np.array(2.0**exponent, "<f4")
        content = scale.tobytes() + samples.tobytes()
        write_atomically(self.path(utterance_id), content)

    def read(self, utterance_id: str, start: int, frames: int) -> Tensor:
        """Return ``frames`` samples from ``start`` on, float32 [frames]."""
        path, samples = self.path(utterance_id), np.empty(0)
        if path.exists():
            scale = np.fromfile(path, "<f4", 1)
            samples = np.fromfile(path, "<f2", frames, offset=bytes_of(start))
        if len(samples) < frames:
            raise UserError(
                f"{path} must have {start + frames} samples or more, got "
                f"fewer; start the same command again, which makes it anew"
            )
        return torch.from_numpy(samples.astype("f4")).mul_(scale.item())

    def read_crop(
        self, crop: RandomCrop, utterance_id: str, length: float
    ) -> Tensor:
        """Return the segment that a crop takes, float32 [frames]."""
        return self.read(utterance_id, *crop.span(utterance_id, length))

    def fill(
        self,
        teacher: FrozenTeacher,
        recordings: Mapping,
        hparams: Mapping,
        run_opts: RunOptions,
    ) -> None:
        """Make the outputs that are not there; draw nothing of the training."""
        rate = hparams["sample_rate"]
        frames = {k: round(v["length"] * rate) for k, v in recordings.items()}
        missing = [item for item in frames.items() if not self.is_whole(*item)]
        needed = sum(bytes_of(length) for _, length in missing)
        if if_main_process():
            size = sum(map(bytes_of, frames.values()))
            print(
                f"Teacher cache: {self.folder}, {len(frames)} files, "
                f"{size / 1e9:.3g} GB; to be made: {len(missing)} files, "
                f"{needed / 1e9:.3g} GB",
                flush=True,
            )
        if not missing:
            return
        device = run_opts.device or infer_device()
        teacher.to(device)
        hidden = run_opts.noprogressbar or not if_main_process()
        with unwritable_is_user_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < needed:
                full = os.strerror(errno.ENOSPC)
                raise OSError(errno.ENOSPC, full, str(self.folder))
            bar = tqdm(missing, "Teacher cache", unit="file", disable=hidden)
            with lost_workers_are_user_errors(), bar:
                for items, noisy in _noisy(
                    missing, recordings, hparams, device
                ):
                    if not all(self.is_whole(*item) for item in items):
                        self._fill(teacher, items, noisy.to(device), recordings)
                    bar.update(len(items))
        teacher.cpu()

    def _fill(
        self,
        teacher: FrozenTeacher,
        items: list,
        noisy: Tensor,
        recordings: Mapping,
    ) -> None:
        wavs = teacher(noisy).wav.float().cpu()
        for (name, length), wav in zip(items, wavs, strict=True):
            if len(wav) != length or not torch.isfinite(wav).all():
                raise UserError(
                    f"the teacher's output must be finite and as long as its "
                    f"input, got another for {recordings[name]['noisy_wav']}; "
                    f"choose another --teacher_ckpt, or train the teacher anew"
                )
            self.write(name, wav)


def _noisy(
    missing: list, recordings: Mapping, hparams: Mapping, device: str
) -> DataLoader:
    """Load batches of (id, frames) with their waveforms, of one length each."""
    size = hparams["eval_batch_size"]
    batches = batches_of_one_length([length for _, length in missing], size)
    # Processes that do so at once take missing utterances each in an order of
    # its own, and leave out what another one made meanwhile.
    random.Random().shuffle(batches)
    items = [(*item, recordings[item[0]]["noisy_wav"]) for item in missing]
    options = loader_options(hparams, device) | {"batch_sampler": batches}
    options["generator"] = torch.Generator()  # else the training's is drawn
    return DataLoader(
        items, collate_fn=partial(_load, hparams["sample_rate"]), **options
    )


def _load(rate: int, items: list) -> tuple[list, Tensor]:
    """Read, in a worker, the recordings that a batch lists."""
    wavs = [read_wav(path, rate, 0, frames) for _, frames, path in items]
    return [item[:2] for item in items], torch.stack(wavs)


def bytes_of(frames: int) -> int:
    """Return the size of a file of so many samples."""
    return 4 + 2 * frames
