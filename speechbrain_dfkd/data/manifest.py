"""The JSON files that list the utterances of a split.

``{utterance_id: {"noisy_wav": path, "clean_wav": path, "length": seconds}}``,
the keys of SpeechBrain's own enhancement recipes, sorted by id.
"""

import json
from pathlib import Path

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import full_disk_is_user_error, write_atomically

KEYS = ("noisy_wav", "clean_wav", "length")


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
    >>> from speechbrain_dfkd.data.audio_check import WavFile
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


def read_manifest(path):
    """Read a manifest and check that every entry is complete.

    Arguments
    ---------
    path : str or Path
        The JSON file.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If it is missing, not JSON, empty, or lacks keys.
    """
    path = Path(path)
    entries = read_json(path)
    if not entries:
        raise _not_a_manifest(path, "no utterances")
    lacking = [
        f"{name} lacks {', '.join(missing)}"
        for name, entry in entries.items()
        if (missing := [key for key in KEYS if key not in entry])
    ]
    if lacking:
        raise _not_a_manifest(path, f"entries that do not:\n{listing(lacking)}")
    return entries


def _not_a_manifest(path, found):
    return UserError(
        f"{path} must list utterances with {', '.join(KEYS)}, got {found}\n"
        "Run the recipe without skip_prep to write it again"
    )
