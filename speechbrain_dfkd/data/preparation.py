"""Whether a corpus was prepared already, and from which files."""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from speechbrain_dfkd.data.manifest import missing_recordings, write_json
from speechbrain_dfkd.errors import UserError, listing

logger = logging.getLogger(__name__)

# Of a folder so many files are looked into, and so much of each.
_SAMPLED, _SAMPLE_BYTES = 16, 65536


def fingerprint(paths: Iterable[Path], root: Path) -> dict:
    """Describe the files of a corpus, so that a change of one is noticed.

    ``content`` is a hash of their names, sizes and some of their bytes,
    ``state`` one of names, sizes and times, wherever the corpus lies.
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
        try:
            with open(path, "rb") as file:
                file.seek(path.stat().st_size // 2)
                content.update(file.read(_SAMPLE_BYTES))
        except OSError as error:  # the check of all recordings will name it
            content.update(str(error.errno).encode())
    return {
        "files": len(paths),
        "content": content.hexdigest(),
        "state": state.hexdigest(),
    }


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
