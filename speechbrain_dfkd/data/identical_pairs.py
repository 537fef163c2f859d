"""Finds pairs without noise: the noisy recording is the clean one."""

import logging

import numpy as np
import soundfile
from joblib import Parallel, cpu_count, delayed

from speechbrain_dfkd.errors import UserError, listing

logger = logging.getLogger(__name__)

# Different recordings mostly differ in their first block: no more is read.
_BLOCK = 16000


def refuse_identical(pairs: dict, n_jobs: int | None = None):
    """Refuse a split in which no pair has noise; warn of pairs that have none.

    There is nothing to learn from such a split, nor to test on it; it comes
    of a clean folder that was unpacked twice.

    Arguments
    ---------
    pairs : dict
        ``{id: Pair}`` of checked ``audio_check.WavFile``, at one rate.
    n_jobs : int, optional
        Worker processes; by default one for each processor.

    Raises
    ------
    UserError
        If all pairs are identical, sample for sample.
    """
    same = Parallel(n_jobs=n_jobs or cpu_count())(
        delayed(_is_identical)(pair) for pair in pairs.values()
    )
    found = [
        str(pair.noisy.path)
        for pair, is_same in zip(pairs.values(), same, strict=True)
        if is_same
    ]
    if found and len(found) == len(pairs):
        raise UserError(
            "data_folder must hold noisy recordings beside the clean ones, got "
            f"{len(found)} equal to their clean twins, all of a split:\n"
            f"{listing(found)}\nunpack the noisy archive again"
        )
    if found:
        logger.warning(
            "%d of %d noisy recordings are equal to their clean twins:\n%s",
            len(found),
            len(pairs),
            listing(found),
        )


def _is_identical(pair):
    with (
        soundfile.SoundFile(pair.noisy.path) as noisy,
        soundfile.SoundFile(pair.clean.path) as clean,
    ):
        blocks = (
            file.blocks(_BLOCK, dtype="float32") for file in (noisy, clean)
        )
        return all(map(np.array_equal, *blocks))
