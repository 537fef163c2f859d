"""Reads recordings, whole or in part."""

from pathlib import Path

from speechbrain.dataio import audio_io

from speechbrain_dfkd.errors import UserError


def read_wav(path, sample_rate: int, start: int = 0, frames: int = -1):
    """Read a mono recording, or ``frames`` samples of it from ``start`` on.

    Arguments
    ---------
    path : str
        The file.
    sample_rate : int
        What it must have, in Hz.
    start, frames : int
        The part to read, in samples; -1 is up to the end.

    Returns
    -------
    torch.Tensor
        [frames].

    Raises
    ------
    UserError
        If the file is gone, unreadable, shorter, or at another rate.
    """
    if not Path(path).is_file():
        raise _changed(path, "exist", "no such file")
    try:
        wav, rate = audio_io.load(path, frame_offset=start, num_frames=frames)
    except RuntimeError as error:
        raise _changed(path, "be readable", str(error)) from error
    if rate != sample_rate:
        raise _changed(path, f"have {sample_rate} Hz", f"{rate} Hz")
    if frames >= 0 and wav.shape[-1] != frames:
        end = start + frames
        raise _changed(path, f"have {end} samples or more", "fewer")
    return wav.squeeze(0)


def _changed(path, constraint, found):
    return UserError(
        f"{path} must {constraint}, got {found}; run the recipe without "
        "skip_prep, or restore the file that was there at preparation"
    )
