"""Finds the recordings of a folder, and names them."""

import logging
import os
import unicodedata
from pathlib import Path

import soundfile

from speechbrain_dfkd.errors import UserError, listing

logger = logging.getLogger(__name__)

_SUFFIXES_OF = {
    "WAV": (".wav",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "W64": (".w64",),
    "RF64": (".rf64",),
    "NIST": (".sph",),
}
_AUDIO = sum(_SUFFIXES_OF.values(), ())
# What the libsndfile of this machine reads.
SUFFIXES = sum(
    (_SUFFIXES_OF.get(kind, ()) for kind in soundfile.available_formats()), ()
)
_OTHER_AUDIO = (
    *(".m4a", ".mp4", ".m4b", ".aac", ".wma", ".webm", ".mka", ".amr", ".3gp"),
    *(".ape", ".wv", ".tta", ".mpc", ".ac3", ".dsf", ".ra", ".spx", ".mp2"),
    *(".shn", ".g722", ".gsm"),
    *(suffix for suffix in _AUDIO if suffix not in SUFFIXES),
)


def recordings_below(folder: Path) -> list:
    """Return the audio files of a folder and its sub-folders, sorted.

    Hidden ones, such as macOS's ``._a.wav`` that hold no audio, are left out,
    and so, with a warning, is audio that soundfile does not read.

    Arguments
    ---------
    folder : Path
        One that is not there has no recordings.

    Returns
    -------
    list of Path

    Raises
    ------
    UserError
        If a sub-folder cannot be listed or appears twice, or names are in
        another encoding than the system's.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> (folder / "sub").mkdir()
    >>> for name in ("b.wav", "sub/a.FLAC", "c.mp3", "._a.wav", "a.txt"):
    ...     (folder / name).touch()
    >>> [str(path.relative_to(folder)) for path in recordings_below(folder)]
    ['b.wav', 'c.mp3', 'sub/a.FLAC']
    """
    visible = sorted(_visible(folder))
    found = [path for path in visible if _is_audio(path, SUFFIXES)]
    left_out = [path for path in visible if _is_audio(path, _OTHER_AUDIO)]
    if left_out:
        logger.warning(
            "%d audio files of kinds that cannot be read are left out:\n%s\n"
            "convert them to wav or FLAC to use them",
            len(left_out),
            listing(map(_shown, left_out), 5, "left out:"),
        )
    _refuse_undecodable(found)
    return found


def has_recordings(folder: Path) -> bool:
    """Tell whether a folder has what ``recordings_below`` lists."""
    return any(_is_audio(path, SUFFIXES) for path in _visible(folder))


def _visible(folder):
    return (
        Path(parent, name)
        for parent, names in _walk(folder)
        for name in names
        if not name.startswith(".")
    )


def _is_audio(path, suffixes):
    return path.suffix.lower() in suffixes


def _shown(path):
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refuse_undecodable(paths):
    """Refuse names with which no library could open a file or print it."""
    if bad := [path for path in paths if not _is_text(path)]:
        raise UserError(
            "names of recordings and their folders must be text in UTF-8, got "
            f"{len(bad)} that are not:\n{listing(map(_shown, bad))}\nrename "
            "them, e.g. with `convmv -f latin1 -t utf8`"
        )


def _is_text(path):
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(folder):
    """Yield each folder, through links too, with the files in it."""
    seen = {}
    for parent, folders, names in os.walk(
        folder, onerror=_refuse_unlistable, followlinks=True
    ):
        # Else a link to a folder above itself multiplies what is in it.
        first = seen.setdefault(os.path.realpath(parent), parent)
        if first != parent:
            raise UserError(
                f"{folder} must hold each folder once, got {parent}, which is "
                f"{first}; remove this link"
            )
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield parent, names


def _refuse_unlistable(error):
    # A folder that is not there has no recordings, but os.walk would also
    # leave out those of one that it may not read.
    if not isinstance(error, FileNotFoundError):
        raise UserError(
            f"{error.filename} must be a folder that can be listed, got: "
            f"{error.strerror}; put its rights right, or remove it"
        ) from error


def by_name(paths, folder: Path) -> dict:
    """Return ``{id: path}`` of a folder's recordings by their names.

    The id is the name without its suffix, after the names of its sub-folders
    except those that it repeats; accents are the same in either of their two
    encodings, of which macOS prefers one and Linux the other.

    Arguments
    ---------
    paths : list of Path
        Recordings below ``folder``.
    folder : Path
        Holds one side of a split.

    Raises
    ------
    UserError
        Names the files that would have one id.

    Example
    -------
    >>> names = ("a.wav", "p1/p1_1.flac", "p1/b.wav")
    >>> list(by_name([Path("noisy", name) for name in names], Path("noisy")))
    ['a', 'p1_1', 'p1-b']
    """
    found, doubles = {}, []
    for path in paths:
        name = _id(path.relative_to(folder).with_suffix(""))
        first = found.setdefault(name, path)
        if first != path:
            doubles.append(f"{path} beside {first}")
    if doubles:
        raise UserError(
            "data_folder must hold one recording of each name in a folder, "
            f"got {len(doubles)} others:\n{listing(doubles)}\nremove or rename "
            "one of each"
        )
    return found


def _id(name):
    following = zip(name.parts, name.parts[1:], strict=False)
    kept = [
        part
        for part, after in following
        if not after.startswith((f"{part}_", f"{part}-"))
    ]
    return unicodedata.normalize("NFC", "-".join([*kept, name.name]))


def speaker_of(path: Path, folder: Path) -> str:
    """Return who speaks in a recording below ``folder``, by its name.

    Example
    -------
    >>> speaker_of(Path("noisy/p1/001.wav"), Path("noisy"))
    'p1'
    >>> speaker_of(Path("noisy/p1_001.wav"), Path("noisy"))
    'p1'
    """
    first, *rest = path.relative_to(folder).parts
    name = first if rest else path.stem.split("_")[0]
    return unicodedata.normalize("NFC", name)


def cache_name(path: Path, root: Path) -> Path:
    """Return the name, relative to a cache, of the copy of ``root``'s file.

    Example
    -------
    >>> cache_name(Path("/dns/clean/a/b.flac"), Path("/dns")).as_posix()
    'clean/a/b.flac.wav'
    """
    name = path.relative_to(root)
    is_wav = name.suffix == ".wav"
    return name if is_wav else name.with_name(f"{name.name}.wav")
