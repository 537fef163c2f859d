"""The files that list the recordings of a split, and the marker of all."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from speechbrain_dfkd.data.audio import BadAudio, check_header
from speechbrain_dfkd.data.pairs import Pair
from speechbrain_dfkd.data.recordings import Recordings
from speechbrain_dfkd.errors import UserError, is_number, listing
from speechbrain_dfkd.files import stats, write_atomically

logger = logging.getLogger(__name__)

# Of pairs: {id: {noisy_wav: path, clean_wav: path, length: seconds}}, the keys
# of SpeechBrain's own enhancement recipes, sorted by id. Paths are relative to
# the folder of the file; "test_set" may name one of several test sets.
SIDES = ("noisy_wav", "clean_wav")
KEYS = (*SIDES, "length")
# Of what is mixed while training: {table: path}; the last one may be null.
TABLES = ("speech", "noise", "impulse_responses")
# A length in seconds may be rounded down by so much.
_ROUNDED = 0.1


def write_json(path: str | Path, data: Any) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    write_atomically(Path(path), json.dumps(data, indent=2).encode())


def read_json(path: str | Path) -> dict:
    """Return the object in a JSON file, or raise a ``UserError``."""
    try:
        data = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        is_os = isinstance(error, OSError)
        found = error.strerror.lower() if is_os else f"no JSON ({error})"
        raise _not_a_manifest(path, found) from error
    if not (isinstance(data, dict) and data):
        raise _not_a_manifest(path, "no utterances")
    return data


def write_manifest(
    path: str | Path, pairs: dict[str, Pair], test_set_of: dict | None = None
) -> None:
    """Write ``{id: Pair}`` of ``WavFile``, and the test set of each id."""
    entries = {
        name: {
            "noisy_wav": str(noisy.path.absolute()),
            "clean_wav": str(clean.path.absolute()),
            "length": noisy.frames / noisy.sample_rate,
        }
        for name, (noisy, clean) in sorted(pairs.items())
    }
    for name, test_set in (test_set_of or {}).items():
        entries[name]["test_set"] = test_set
    write_json(path, entries)


def read_manifest(path: str | Path) -> dict[str, dict]:
    """Read a manifest of pairs, with whole paths; refuse incomplete entries."""
    entries = read_json(path)
    wrong = [
        f"{name} {problem}"
        for name, entry in entries.items()
        if (problem := _problem(entry))
    ]
    if wrong:
        raise _not_a_manifest(path, f"entries that do not:\n{listing(wrong)}")
    folder = Path(path).absolute().parent
    return {
        name: entry | {side: str(folder / entry[side]) for side in SIDES}
        for name, entry in entries.items()
    }


def _problem(entry: object) -> str | None:
    """Return what is wrong with an entry, or nothing."""
    if not isinstance(entry, dict):
        return f"is {entry!r}"
    if missing := [key for key in KEYS if key not in entry]:
        return f"lacks {', '.join(missing)}"
    for key in (*SIDES, *({"test_set"} & entry.keys())):
        if not (isinstance(entry[key], str) and entry[key]):
            return f"has {key} {entry[key]!r}, which is no text"
        if "{data_root}" in entry[key]:
            return f"has {{data_root}} in {key}: write what stands for it"
    if not is_number(entry["length"], 1e-9, 1e9):
        return f"has length {entry['length']!r}, which is no time in seconds"
    return None


def check_manifest(path: str | Path, sample_rate: int) -> None:
    """Refuse a manifest whose recordings are not there and as it says."""
    if is_mixture_manifest(path):
        if gone := missing_recordings(path):
            raise UserError(
                f"{path} must lead to recordings that are there, got "
                f"{len(gone)} that are not:\n{listing(gone)}\nput them back, "
                "or run the recipe without skip_prep"
            )
        return
    entries = read_manifest(path).items()
    bar = tqdm(entries, "Reading headers", unit="pair", leave=False)
    wrong = [
        f"{name}: {problem}"
        for name, entry in bar
        for problem in _unfit(entry, sample_rate)
    ]
    if wrong:
        found = f"{len(wrong)} that their recordings do not fit:"
        raise _not_a_manifest(path, f"{found}\n{listing(wrong)}")


def _unfit(entry: dict, sample_rate: int) -> Iterator[str]:
    """Yield what is wrong with the recordings of an entry."""
    frames = []
    for side in SIDES:
        try:
            wav = check_header(Path(entry[side]), sample_rate)
        except BadAudio as bad:
            yield f"{bad.line}: {bad.problem.partition(';')[0]}"
            continue
        if (rate := wav.sample_rate) == sample_rate:
            frames.append(wav.frames)
        else:
            yield f"{wav.path} has {rate} Hz in place of {sample_rate}"
    if len(frames) < 2:
        return
    length, seconds = entry["length"], frames[0] / sample_rate
    if frames[0] != frames[1]:
        yield f"noisy {frames[0]}, clean {frames[1]} samples"
    # Cut to samples where it is read, so that half of one is too much.
    elif not seconds - _ROUNDED <= length < seconds + 0.5 / sample_rate:
        yield f"length {length} s, but its files have {seconds:g} s"


def _not_a_manifest(path: str | Path, found: str) -> UserError:
    return UserError(
        f"{path} must list utterances with {', '.join(KEYS)}, got {found}\n"
        "Put it right as recipes/VoiceBank/README.md says of own manifests, or "
        "run the recipe without skip_prep to write it again"
    )


def missing_recordings(manifest: str | Path) -> list[str]:
    """Return what is not there of the recordings of either kind of manifest."""
    if is_mixture_manifest(manifest):
        tables = filter(None, open_tables(manifest).values())
        paths = (wav.path for table in tables for wav in table)
    else:
        entries = read_manifest(manifest).values()
        paths = (entry[side] for entry in entries for side in SIDES)
    paths = list(paths)
    return [
        p for p, found in zip(paths, stats(paths), strict=True) if not found
    ]


def is_mixture_manifest(manifest: str | Path) -> bool:
    """Tell whether a manifest names tables to mix, not pairs of recordings."""
    return tuple(read_json(manifest)) == TABLES


def open_tables(manifest: str | Path) -> dict:
    """Return the ``Recordings``, or None, of each table of a manifest."""
    folder = Path(manifest).parent
    return {
        table: Recordings(folder / name) if name else None
        for table, name in read_json(manifest).items()
    }


# Of a folder so many files are looked into, and so much of each.
_SAMPLED, _SAMPLE_BYTES = 16, 65536


def fingerprint(paths: Iterable[Path], root: Path) -> dict:
    """Describe the files of a corpus, so that a change of one is noticed."""
    # Hashes of names, sizes and some bytes, and of names, sizes and times.
    content, state = hashlib.sha256(), hashlib.sha256()
    paths = sorted(paths)
    found = list(zip(paths, stats(paths), strict=True))
    if gone := [str(path) for path, stat in found if not stat]:
        raise UserError(
            f"data_folder must hold files, got {len(gone)} that are not there "
            f"or links that lead nowhere:\n{listing(gone)}\nput them back, or "
            "remove the links"
        )
    for path, stat in found:
        name = path.relative_to(root)
        content.update(f"{name} {stat.st_size}\n".encode())
        state.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    for path, stat in found[:: -(-len(paths) // _SAMPLED) or 1]:
        try:
            with open(path, "rb") as file:
                file.seek(stat.st_size // 2)
                content.update(file.read(_SAMPLE_BYTES))
        except OSError as error:  # the check of all recordings will name it
            content.update(str(error.errno).encode())
    hashes = {"content": content.hexdigest(), "state": state.hexdigest()}
    return {"files": len(paths), **hashes}


def refuse_prepared_within(
    folders: Iterable[Path], prepared_folder: Path
) -> None:
    """Refuse to write copies where recordings are looked for."""
    for folder in folders:
        if folder in (prepared_folder, *prepared_folder.parents):
            raise UserError(
                f"prepared_folder must lie outside of {folder}, got "
                f"{prepared_folder}; pass another --results_folder"
            )


class Preparation:
    """The marker in a folder of manifests: all that these depend on."""

    def __init__(self, folder: Path, manifests: list, source: dict):
        self.marker = folder / "prepared.json"
        self.manifests = [Path(manifest) for manifest in manifests]
        self.source = source
        stored = self._stored() or source
        is_moved = stored["data_folder"] != source["data_folder"]
        # A corpus that was moved may go on, but two must not be mixed.
        if is_moved and _content(stored) != _content(source):
            raise UserError(
                f"prepared_folder {folder} must hold the preparation of "
                f"{source['data_folder']}, got that of "
                f"{stored['data_folder']}, which held other files; pass "
                "another --results_folder, or delete it"
            )
        for path in self.manifests if stored is source else ():
            if path.exists() and folder not in path.absolute().parents:
                raise UserError(
                    f"{path} must be free to write a manifest to, got one that "
                    "no preparation wrote; pass --skip_prep True to use it, or "
                    "another name"
                )

    def _stored(self):
        if not self.marker.exists():
            return None
        try:
            return json.loads(self.marker.read_bytes())
        except ValueError as error:
            raise UserError(
                f"{self.marker} must be JSON, got {error}; delete it to "
                "prepare again"
            ) from error

    def is_done(self) -> bool:
        """Tell whether the marker fits and all that it vouches for is there."""
        if self._stored() != self.source:
            return False
        try:
            return not any(map(missing_recordings, self.manifests))
        except UserError:  # one is missing or spoilt itself
            return False

    def __enter__(self):
        # An old marker must not vouch for a mixture of old and new manifests.
        if stored := self._stored():
            logger.warning("the data or settings changed: preparing anew")
            write_json(self.marker, stored | {"unfinished": True})
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        if error_type is None:
            write_json(self.marker, self.source)


def _content(source: dict) -> dict[str, str]:
    return {name: kind["content"] for name, kind in source["files"].items()}
