"""A folder that appears under its name only when everything in it is made."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechbrain_dfkd.errors import UserError

MARKER = "demo_corpus.json"
# A build takes seconds; what nobody wrote to for so long was killed.
_ABANDONED_SECONDS = 600


def already_made(out: Path, arguments: dict, wav_count: int) -> bool:
    """Tell whether ``out`` holds the corpus that ``arguments`` describe.

    Arguments
    ---------
    out : pathlib.Path
        The corpus folder.
    arguments : dict
        All that the corpus depends on, as written in its marker file.
    wav_count : int
        How many wav files it has.

    Returns
    -------
    bool
        False if ``out`` does not exist or is empty.

    Raises
    ------
    UserError
        If ``out`` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    marker = out / MARKER
    if not marker.is_file():
        raise UserError(
            f"out_folder must be new, empty or a demo corpus, got {out}, which "
            "holds something else; choose another folder"
        )
    if _read(marker) != arguments:
        raise UserError(
            f"out_folder must hold a demo corpus made with {arguments}, got "
            f"{out}, made with {marker.read_text(encoding='utf-8')}; choose "
            "another folder, or delete this one to make it anew"
        )
    found = sum(1 for _ in out.rglob("*.wav"))
    if found != wav_count:
        raise UserError(
            f"{out} must hold {wav_count} wav files, got {found}; delete the "
            "folder to make it anew"
        )
    return True


@contextmanager
def building(out: Path, arguments: dict, wav_count: int) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``out`` when the block succeeds.

    Arguments
    ---------
    out, arguments, wav_count
        See ``already_made``, which must have returned False.

    Yields
    ------
    pathlib.Path
        A folder beside ``out``, gone when the block fails.

    Raises
    ------
    UserError
        If the disk is full or not writable.
    """
    prefix = f".{out.name}.building-"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out.parent, prefix)
        build = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        try:
            yield build
            text = json.dumps(arguments, indent=2) + "\n"
            (build / MARKER).write_text(text, encoding="utf-8")
            _publish(build, out, arguments, wav_count)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"out_folder must be writable and have room, got {out}: {error}; "
            "free some space or choose another folder"
        ) from error


def _publish(build, out, arguments, wav_count):
    # mkdtemp makes a folder that only its owner can read.
    build.chmod(0o755)
    if out.exists() and already_made(out, arguments, wav_count):
        return  # Another process was faster.
    if out.exists():
        out.rmdir()
    build.rename(out)


def _remove_abandoned(parent, prefix):
    for folder in parent.glob(f"{prefix}*"):
        last = max(
            path.stat().st_mtime for path in (folder, *folder.rglob("*"))
        )
        if time.time() - last > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _read(marker):
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{marker} must be JSON, got: {error}; delete its folder to make "
            "the demo corpus anew"
        ) from error
