"""Checks a large folder of recordings in parallel, each only once."""

import dataclasses
import functools
import json
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
from speechbrain_dfkd.data.audio_files import cache_name
from speechbrain_dfkd.data.pairs import cache_pairs
from speechbrain_dfkd.data.resample_cache import (
    at_rate,
    check_or_cache,
    is_cached,
)
from speechbrain_dfkd.files import full_disk_is_user_error


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
        return _scan(paths, check, self.root, self.cache, self.n_jobs)

    def responses(self, paths) -> list:
        """Return the ``WavFile`` of impulse responses, in their order.

        They are short and used as they are: at any rate from ``sample_rate``
        on, with any number of channels.
        """
        check = functools.partial(_check_response, sample_rate=self.sample_rate)
        return _scan(paths, check, self.root, self.cache, self.n_jobs)

    def pairs(self, splits) -> list:
        """Return ``{id: Pair}`` to train on of each split.

        Arguments
        ---------
        splits : list of Pair
            ``{id: path}`` of the noisy and of the clean side.
        """
        return cache_pairs(
            splits,
            self.cache,
            self.sample_rate,
            lambda path: cache_name(path, self.root),
            self.n_jobs,
        )


def _check_recording(path, root, cache, sample_rate):
    wav = check_header(path, sample_rate)
    cached = at_rate(wav, cache / cache_name(path, root), sample_rate)
    bad = None if is_cached(wav, cached) else check_or_cache(wav, cached)
    if bad:
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


def _scan(paths, check, root, cache, n_jobs):
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / "scanned.jsonl"
    found = _known(log, root)
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
            row = [_relative(path, root), state, _relative(result.path, cache)]
            # In front: a last line that a kill cut short stays alone.
            stream.write("\n" + json.dumps([*row, *result[1:]]))
            stream.flush()
    raise_if_bad(bad)
    return [wavs[path] for path in paths]


def _relative(path, folder):
    # So that a corpus or cache that was moved is known again; what is used in
    # place is not in the cache.
    return str(path.relative_to(folder)) if folder in path.parents else None


def _known(log, root):
    """Return {path: (state, WavFile)}; a last line that was cut is ignored."""
    if not log.exists():
        return {}
    found = {}
    for line in log.read_text().splitlines():
        try:
            name, state, target, *header = json.loads(line)
            wav = WavFile(
                log.parent / target if target else root / name, *header
            )
        except (ValueError, TypeError):
            continue
        # Lines of before there were subtypes may tell of copies that clip.
        if wav.subtype or wav.path == root / name:
            found[root / name] = state, wav
    return found


def _current(found, path):
    state, wav = found.get(path, (None, None))
    is_current = wav and state == _state(path) and wav.path.exists()
    return wav if is_current else None
