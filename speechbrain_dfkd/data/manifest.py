"""The JSON files that list the utterances of a split.

``{utterance_id: {"noisy_wav": path, "clean_wav": path, "length": seconds}}``,
the keys of SpeechBrain's own enhancement recipes, sorted by id. A relative
path is relative to the folder of the file; ``"test_set"`` may name one of
several test sets.
"""

import hashlib
import json
from pathlib import Path

from speechbrain_dfkd.data.audio import BadAudio, read_headers
from speechbrain_dfkd.errors import UserError, is_number, listing
from speechbrain_dfkd.files import full_disk_is_user_error, write_atomically

SIDES = ("noisy_wav", "clean_wav")
KEYS = (*SIDES, "length")
# A length in seconds may be rounded down by so much.
_ROUNDED = 0.1


def write_json(path, data):
    """Write ``data`` to ``path``: whole, or with an error not at all."""
    path = Path(path)
    encoded = json.dumps(data, indent=2).encode()
    with full_disk_is_user_error(path.parent, lambda: len(encoded)):
        write_atomically(path, encoded)


def read_json(path) -> dict:
    """Return the object in a JSON file, or raise a ``UserError``."""
    path = Path(path)
    if not path.is_file():
        raise _not_a_manifest(path, "no such file")
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise _not_a_manifest(path, f"no JSON ({error})") from error
    if not isinstance(data, dict):
        raise _not_a_manifest(path, "no utterances")
    return data


def write_manifest(path, pairs, test_set_of: dict | None = None):
    """Write a manifest.

    Arguments
    ---------
    path : str or Path
        The JSON file.
    pairs : dict
        ``{id: Pair}`` of ``audio_check.WavFile``, twins of equal length.
    test_set_of : dict, optional
        ``{id: test set}``, where a split holds several: each is reported.

    Example
    -------
    >>> from speechbrain_dfkd.data.audio import WavFile
    >>> from speechbrain_dfkd.data.pairs import Pair
    >>> path = Path(getfixture("tmpdir")) / "train.json"
    >>> noisy, clean = Path("/noisy/a.wav"), Path("/clean/a.wav")
    >>> pair = Pair(WavFile(noisy, 16000, 8000), WavFile(clean, 16000, 8000))
    >>> write_manifest(path, {"a": pair})
    >>> read_manifest(path)["a"]["length"]
    0.5
    """
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


def read_manifest(path) -> dict:
    """Read a manifest and check that every entry is complete.

    Arguments
    ---------
    path : str or Path
        The JSON file.

    Returns
    -------
    dict
        With whole paths.

    Raises
    ------
    UserError
        If it is missing, not JSON, empty, or entries are not complete.
    """
    path = Path(path)
    entries = read_json(path)
    if not entries:
        raise _not_a_manifest(path, "no utterances")
    wrong = [
        f"{name} {problem}"
        for name, entry in entries.items()
        if (problem := _problem(entry))
    ]
    if wrong:
        raise _not_a_manifest(path, f"entries that do not:\n{listing(wrong)}")
    folder = path.absolute().parent
    return {
        name: entry | {side: str(folder / entry[side]) for side in SIDES}
        for name, entry in entries.items()
    }


def _problem(entry):
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


def check_manifest(path, sample_rate: int) -> None:
    """Check that the recordings of a manifest are there and as it says.

    Arguments
    ---------
    path : str or Path
        The JSON file.
    sample_rate : int
        Of the recordings, in Hz.

    Raises
    ------
    UserError
        Names what is not; also what ``read_manifest`` raises.
    """
    entries = read_manifest(path)
    files = [Path(entry[side]) for entry in entries.values() for side in SIDES]
    found = read_headers(files, sample_rate)
    wrong = [
        f"{name}: {problem}"
        for (name, entry), pair in zip(
            entries.items(), zip(found[::2], found[1::2], strict=True),
            strict=True,
        )
        for problem in _unfit(entry["length"], pair, sample_rate)
    ]  # fmt: skip
    if wrong:
        raise _not_a_manifest(
            path,
            f"{len(wrong)} that their recordings do not fit:\n{listing(wrong)}",
        )


def _unfit(length, pair, sample_rate):
    """Return what is wrong with the recordings of an entry."""
    bad = [wav for wav in pair if isinstance(wav, BadAudio)]
    if bad:
        return [f"{b.line}: {b.problem.partition(';')[0]}" for b in bad]
    noisy, clean = pair
    wrong = [
        f"{wav.path} has {wav.sample_rate} Hz in place of {sample_rate}"
        for wav in pair
        if wav.sample_rate != sample_rate
    ]
    if noisy.frames != clean.frames:
        wrong += [f"noisy {noisy.frames}, clean {clean.frames} samples"]
    seconds = noisy.frames / noisy.sample_rate
    # Cut to samples where it is read, so that half of one is too much.
    if not seconds - _ROUNDED <= length < seconds + 0.5 / sample_rate:
        wrong += [f"length {length} s, but its files have {seconds:g} s"]
    return wrong


def _not_a_manifest(path, found):
    return UserError(
        f"{path} must list utterances with {', '.join(KEYS)}, got {found}\n"
        "Put it right as recipes/VoiceBank/README.md says of own manifests, or "
        "run the recipe without skip_prep to write it again"
    )


MARKER = "prepared.json"


# Of a folder so many files are looked into, and so much of each.
_SAMPLED, _SAMPLE_BYTES = 16, 65536


def fingerprint(paths, root: Path) -> dict:
    """Describe files, so that a change of one or another corpus is noticed.

    Arguments
    ---------
    paths : iterable of Path
        Existing files below ``root``; the order does not matter.
    root : Path
        The corpus; the description does not depend on where it lies.

    Returns
    -------
    dict
        ``files``, their number; ``content``, a hash of their names, sizes and
        some of their bytes; ``state``, one of names, sizes and times.

    Raises
    ------
    UserError
        Names the files that are not there, such as links that lead nowhere.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> (folder / "a.wav").touch()
    >>> fingerprint([folder / "a.wav"], folder)["files"]
    1
    """
    content, state = hashlib.sha256(), hashlib.sha256()
    paths = sorted(paths)
    if gone := [str(path) for path in paths if not path.exists()]:
        raise UserError(
            f"data_folder must hold files, got {len(gone)} that are not there "
            f"or links that lead nowhere:\n{listing(gone)}\nput them back, or "
            "remove the links"
        )
    for path in paths:
        stat, name = path.stat(), path.relative_to(root)
        content.update(f"{name} {stat.st_size}\n".encode())
        state.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    for path in paths[:: -(-len(paths) // _SAMPLED) or 1]:
        content.update(_sample(path))
    return {
        "files": len(paths),
        "content": content.hexdigest(),
        "state": state.hexdigest(),
    }


def _sample(path):
    try:
        with open(path, "rb") as file:
            file.seek(path.stat().st_size // 2)
            return file.read(_SAMPLE_BYTES)
    except OSError as error:  # the check of all recordings will name it
        return str(error.errno).encode()


def refuse_prepared_within(folders, prepared_folder: Path) -> None:
    """Refuse to write copies where recordings are looked for."""
    for folder in folders:
        if folder in (prepared_folder, *prepared_folder.parents):
            raise UserError(
                f"prepared_folder must lie outside of {folder}, got "
                f"{prepared_folder}; pass another --results_folder"
            )


class Preparation:
    """The marker ``prepared.json`` in a folder of manifests and cached wavs.

    Arguments
    ---------
    folder : Path
        Where the preparation writes.
    manifests : list of str or Path
        The JSON files it makes.
    source : dict
        JSON-serializable: ``"data_folder"``, ``"files"`` with fingerprints,
        and all else that the result depends on.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> source = {"data_folder": "/a", "files": {}}
    >>> preparation = Preparation(folder, [], source)
    >>> preparation.is_done()
    False
    >>> with preparation:
    ...     pass  # check, resample, write manifests
    >>> preparation.is_done()
    True
    """

    def __init__(self, folder: Path, manifests, source):
        self.marker = folder / MARKER
        self.manifests = [Path(manifest) for manifest in manifests]
        self.source = source
        self._refuse_other_data()
        self._refuse_own_manifests()

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

    def _refuse_other_data(self):
        """Let a corpus that was moved go on, but do not mix two of them."""
        stored = self._stored()
        if not stored or stored["data_folder"] == self.source["data_folder"]:
            return
        if _content(stored["files"]) != _content(self.source["files"]):
            raise UserError(
                f"prepared_folder {self.marker.parent} must hold the "
                f"preparation of {self.source['data_folder']}, got that of "
                f"{stored['data_folder']}, which held other files; pass "
                "another --results_folder, or delete it"
            )

    def _refuse_own_manifests(self):
        if self._stored():
            return
        folder = self.marker.parent
        for path in self.manifests:
            if path.exists() and folder not in path.absolute().parents:
                raise UserError(
                    f"{path} must be free to write a manifest to, got one that "
                    "no preparation wrote; pass --skip_prep True to use it, or "
                    "another name"
                )

    def was_done(self) -> bool:
        """Whether it was done once, perhaps from other files or settings."""
        return self._stored() is not None

    def is_done(self):
        """Whether the marker fits, and the manifests and their wavs exist."""
        return self._stored() == self.source and all(
            map(_wavs_exist, self.manifests)
        )

    def __enter__(self):
        # An old marker must not vouch for a mixture of old and new manifests.
        if stored := self._stored():
            write_json(self.marker, stored | {"unfinished": True})
        return self

    def __exit__(self, error_type, error, traceback):
        if error_type is None:
            write_json(self.marker, self.source)


def _content(files):
    if isinstance(files, list):  # of before a corpus could be moved
        return None
    return {name: kind.get("content") for name, kind in files.items()}


def _wavs_exist(manifest):
    try:
        entries = read_manifest(manifest).values()
    except UserError:  # missing or spoilt
        return False
    return all(
        Path(entry[side]).exists()
        for entry in entries
        for side in ("noisy_wav", "clean_wav")
    )
