"""Remembers what a folder was prepared from, so that it is done only once."""

import hashlib
import json
from pathlib import Path

from speechbrain_dfkd.data.manifest import read_manifest, write_json
from speechbrain_dfkd.errors import UserError, listing

MARKER = "prepared.json"


def fingerprint(paths):
    """Describe files by their number and a hash of names, sizes and times.

    Arguments
    ---------
    paths : iterable of Path
        Existing files; the order does not matter.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        Names the files that are not there, such as links that lead nowhere.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "a.wav"
    >>> path.touch()
    >>> fingerprint([path])["files"]
    1
    """
    digest = hashlib.sha256()
    paths = sorted(paths)
    if gone := [str(path) for path in paths if not path.exists()]:
        raise UserError(
            f"data_folder must hold files, got {len(gone)} that are not there "
            f"or links that lead nowhere:\n{listing(gone)}\nput them back, or "
            "remove the links"
        )
    for path in paths:
        stat = path.stat()
        line = f"{path} {stat.st_size} {stat.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return {"files": len(paths), "sha256": digest.hexdigest()}


class Preparation:
    """The marker ``prepared.json`` in a folder of manifests and cached wavs.

    Arguments
    ---------
    folder : Path
        Where the preparation writes.
    manifests : list of str or Path
        The JSON files it makes.
    source : dict
        JSON-serializable: ``"data_folder"`` and all else that the result
        depends on (settings and fingerprints).

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> preparation = Preparation(folder, [], {"data_folder": "/a"})
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
        stored = self._stored()
        if stored and stored["data_folder"] != self.source["data_folder"]:
            raise UserError(
                f"prepared_folder {self.marker.parent} must hold the "
                f"preparation of {self.source['data_folder']}, got that of "
                f"{stored['data_folder']}; pass another --results_folder, or "
                "delete it"
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
        self.marker.unlink(missing_ok=True)
        return self

    def __exit__(self, error_type, error, traceback):
        if error_type is None:
            write_json(self.marker, self.source)


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
