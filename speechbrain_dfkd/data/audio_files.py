"""Finds the recordings of a folder, and names them."""

import itertools
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from speechbrain_dfkd.errors import UserError, listing

logger = logging.getLogger(__name__)

# What libsndfile reads, and what it does not.
SUFFIXES = (
    ".wav .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .au .snd .caf .w64 "
    ".rf64 .sph"
).split()
_OTHER_AUDIO = (
    ".m4a .mp4 .m4b .aac .wma .webm .mka .amr .3gp .ape .wv .tta .mpc .ac3 "
    ".dsf .ra .spx .mp2 .shn .g722 .gsm"
).split()


def recordings_below(folder: Path) -> list[Path]:
    """Return the audio files of a folder and its sub-folders, sorted.

    Hidden ones, such as macOS's ``._a.wav`` that hold no audio, are left out,
    and so, with a warning, is audio that soundfile does not read.
    """
    visible = sorted(_visible(folder))
    found = [path for path in visible if path.suffix.lower() in SUFFIXES]
    other = [_shown(p) for p in visible if p.suffix.lower() in _OTHER_AUDIO]
    if other:
        logger.warning(
            f"{len(other)} audio files of kinds that cannot be read are left "
            f"out:\n{listing(other, 5, 'left out:')}\nconvert them to wav or "
            "FLAC to use them"
        )
    # No library could open these, nor print them.
    if bad := [_shown(path) for path in found if _shown(path) != str(path)]:
        raise UserError(
            "names of recordings and their folders must be text in UTF-8, got "
            f"{len(bad)} that are not:\n{listing(bad)}\nrename them, e.g. "
            "with `convmv -f latin1 -t utf8`"
        )
    return found


def has_recordings(folder: Path) -> bool:
    """Tell whether a folder has what ``recordings_below`` lists."""
    return any(path.suffix.lower() in SUFFIXES for path in _visible(folder))


def _visible(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(
        folder, onerror=_refuse_unlistable, followlinks=True
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name)


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refuse_unlistable(error: OSError) -> None:
    # A folder that is not there has no recordings, but os.walk would also
    # leave out those of one that it may not read.
    if not isinstance(error, FileNotFoundError):
        raise UserError(
            f"{error.filename} must be a folder that can be listed, got: "
            f"{error.strerror}; put its rights right, or remove it"
        ) from error


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Return recordings below ``folder``, one side of a split, by their ids.

    The id is the name without its suffix, after the names of its sub-folders
    except those that it repeats; accents are the same in either of their two
    encodings, of which macOS prefers one and Linux the other.
    """

    def name_of(path: Path) -> str:
        parts = path.relative_to(folder).with_suffix("").parts
        kept = [
            part
            for part, after in itertools.pairwise(parts)
            if not after.startswith((f"{part}_", f"{part}-"))
        ]
        return unicodedata.normalize("NFC", "-".join([*kept, parts[-1]]))

    return _by_id(paths, name_of, "name", "have one name each in a folder")


def by_fileid(paths: Iterable[Path], prefix: str = "") -> dict[str, Path]:
    """Return recordings by a prefix and the fileid that ends their names."""

    def fileid_of(path: Path) -> str | None:
        match = re.search(r"fileid_\d+$", path.stem)
        return match and prefix + match[0]

    constraint = "end in fileid_<number>, each number once in a folder"
    return _by_id(paths, fileid_of, "fileid", constraint)


def _by_id(
    paths: Iterable[Path], id_of: Callable, kind: str, constraint: str
) -> dict[str, Path]:
    found, problems = {}, []
    for path in paths:
        name = id_of(path)
        if name is None:
            problems.append(f"{path} has no {kind}")
        elif found.setdefault(name, path) != path:
            problems.append(f"{path} has the {kind} of {found[name]}")
    if problems:
        raise UserError(
            f"noisy and clean recordings must {constraint}, got "
            f"{len(problems)} others:\n{listing(problems)}\nrename or remove "
            "these files"
        )
    return found


def speaker_of(path: Path, folder: Path) -> str:
    """Return the "p1" of ``p1/001.wav`` or ``p1_001.wav`` below a folder."""
    first, *rest = path.relative_to(folder).parts
    name = first if rest else path.stem.split("_")[0]
    return unicodedata.normalize("NFC", name)
