"""Checks a large folder of recordings in parallel, each only once."""

import dataclasses
import functools
import json
import os
from pathlib import Path

from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from speechbrain_dfkd.data.audio_check import (
    BadAudio,
    WavFile,
    check_header,
    raise_if_bad,
    read_samples,
    require_sound,
)
from speechbrain_dfkd.data.pairs import cache_pairs, match_pairs
from speechbrain_dfkd.data.resample_cache import at_rate, check_or_cache
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import full_disk_is_user_error

SUFFIXES = (".wav", ".flac")


def recordings_below(folder: Path):
    """Return the wav and FLAC files of a folder and its sub-folders, sorted.

    Hidden files, such as macOS's ``._a.wav`` that hold no audio, are left out.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> (folder / "sub").mkdir()
    >>> for name in ("b.wav", "sub/a.FLAC", "._a.wav", "a.txt"):
    ...     (folder / name).touch()
    >>> [str(path.relative_to(folder)) for path in recordings_below(folder)]
    ['b.wav', 'sub/a.FLAC']
    """
    return sorted(
        Path(parent, name)
        for parent, names in _walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _walk(folder):
    """Yield each folder, through links too, with the files in it."""
    seen = {}
    for parent, _, names in os.walk(
        folder, onerror=_refuse_unlistable, followlinks=True
    ):
        # Else a link to a folder above itself multiplies what is in it.
        first = seen.setdefault(os.path.realpath(parent), parent)
        if first != parent:
            raise UserError(
                f"{folder} must hold each folder once, got {parent}, which is "
                f"{first}; remove this link"
            )
        yield parent, names


def _refuse_unlistable(error):
    # A folder that is not there has no recordings, but os.walk would also
    # leave out those of one that it may not read.
    if not isinstance(error, FileNotFoundError):
        raise UserError(
            f"{error.filename} must be a folder that can be listed, got: "
            f"{error.strerror}; put its rights right, or remove it"
        ) from error


def cache_name(path: Path, root: Path):
    """Return the name, relative to a cache, of the copy of ``root``'s file.

    Example
    -------
    >>> cache_name(Path("/dns/clean/a/b.flac"), Path("/dns")).as_posix()
    'clean/a/b.flac.wav'
    """
    name = path.relative_to(root)
    is_wav = name.suffix == ".wav"
    return name if is_wav else name.with_name(f"{name.name}.wav")


@dataclasses.dataclass(frozen=True)
class CorpusScan:
    """Checks the recordings of a corpus and resamples those that need it.

    What was found is kept in ``cache``, so that a scan which was interrupted
    goes on where it stopped, and a later one reads only what is new. Each
    method raises a ``UserError`` that names the files which are unreadable,
    cut off, empty, not mono, at a lower rate, not finite or silent.

    Arguments
    ---------
    root : Path
        The corpus.
    cache : Path
        Holds the resampled copies, under the names of their sources.
    sample_rate : int
        In Hz. Recordings at this rate are used in place.
    n_jobs : int, optional
        Worker processes; by default one for each processor.
    """

    root: Path
    cache: Path
    sample_rate: int
    n_jobs: int | None = None

    def recordings(self, paths) -> list:
        """Return the ``WavFile`` to train on of each path, in their order."""
        check = functools.partial(
            _check_recording,
            root=self.root,
            cache=self.cache,
            sample_rate=self.sample_rate,
        )
        return _scan(paths, check, self.cache, self.n_jobs)

    def responses(self, paths) -> list:
        """Return the ``WavFile`` of impulse responses, in their order.

        They are short and used as they are: at any rate from ``sample_rate``
        on, with any number of channels.
        """
        check = functools.partial(_check_response, sample_rate=self.sample_rate)
        return _scan(paths, check, self.cache, self.n_jobs)

    def pairs(self, splits) -> list:
        """Return ``{id: Pair}`` to train on of each split.

        Arguments
        ---------
        splits : list of Pair
            ``{id: path}`` of the noisy and of the clean side.
        """
        return cache_pairs(
            match_pairs(splits),
            self.cache,
            self.sample_rate,
            self.n_jobs,
            name_of=lambda path: cache_name(path, self.root),
        )


def _check_recording(path, root, cache, sample_rate):
    wav = check_header(path, sample_rate)
    cached = at_rate(wav, cache / cache_name(path, root), sample_rate)
    if bad := check_or_cache(wav, cached):
        raise bad
    return cached


def _check_response(path, sample_rate):
    wav = check_header(path, sample_rate, mono=False)
    # Of several channels the first one is used.
    require_sound(read_samples(wav).reshape(wav.frames, -1)[:, 0], path)
    return wav


def _outcome(check, path):
    """Runs in a worker: the path, its state before, and what was found."""
    state = _state(path)
    try:
        return path, state, check(path)
    except BadAudio as bad:
        return path, state, bad


def _state(path):
    try:
        stat = path.stat()
    except FileNotFoundError:  # since it was listed: the check will say so
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _scan(paths, check, cache, n_jobs):
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / "scanned.jsonl"
    found = _known(log)
    wavs = {path: wav for path in paths if (wav := _current(found, path))}
    found.clear()
    pending = [path for path in paths if path not in wavs]
    bar = tqdm(
        Parallel(n_jobs=n_jobs or cpu_count(), return_as="generator")(
            delayed(_outcome)(check, path) for path in pending
        ),
        "Checking recordings",
        len(pending),
        unit="file",
    )
    bad = []
    with full_disk_is_user_error(cache, lambda: 0), log.open("a") as stream:
        for path, state, result in bar:
            if isinstance(result, BadAudio):
                bad.append(result)
                continue
            wavs[path] = result
            row = [str(path), state, str(result.path), *result[1:]]
            # In front: a last line that a kill cut short stays alone.
            stream.write("\n" + json.dumps(row))
            stream.flush()
    raise_if_bad(bad)
    return [wavs[path] for path in paths]


def _known(log):
    """Return {path: (state, WavFile)}; a last line that was cut is ignored."""
    if not log.exists():
        return {}
    found = {}
    for line in log.read_text().splitlines():
        try:
            path, state, target, sample_rate, frames = json.loads(line)
        except ValueError:
            continue
        found[path] = state, WavFile(Path(target), sample_rate, frames)
    return found


def _current(found, path):
    state, wav = found.get(str(path), (None, None))
    is_current = wav and state == _state(path) and wav.path.exists()
    return wav if is_current else None
