"""A SpeechBrain Checkpointer whose checkpoints appear only when complete."""

import logging
import os
import shutil
from pathlib import Path

from speechbrain.utils.checkpoints import CKPT_PREFIX, METAFNAME, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

_UNFINISHED = f"{CKPT_PREFIX}.unfinished"


class AtomicCheckpointer(Checkpointer):
    """Saves checkpoints so that a run can be killed at any moment.

    SpeechBrain (1.1) writes the file that makes a folder a checkpoint first
    and the weights after it: a run killed in between leaves a checkpoint that
    is the most recent one and cannot be loaded. Here that file gets its name
    last. Arguments are those of
    ``speechbrain.utils.checkpoints.Checkpointer``.

    Example
    -------
    >>> import torch
    >>> folder = getfixture("tmp_path")
    >>> layer = torch.nn.Linear(1, 1)
    >>> checkpointer = AtomicCheckpointer(folder, {"layer": layer})
    >>> path = checkpointer.save_checkpoint().path
    >>> sorted(file.name for file in path.iterdir())
    ['CKPT.yaml', 'layer.ckpt']
    """

    def save_checkpoint(
        self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO
    ):
        """Save a checkpoint; see ``Checkpointer.save_checkpoint``."""
        if if_main_process():
            self._remove_unfinished()
        checkpoint = super().save_checkpoint(
            meta or {}, end_of_epoch, name, verbosity
        )
        if checkpoint is not None:  # None: this is not the main process
            folder = Path(checkpoint.path)
            os.replace(folder / _UNFINISHED, folder / METAFNAME)
        # Else another process would look for checkpoints before this is one.
        ddp_barrier()
        return checkpoint

    def _save_checkpoint_metafile(
        self, fpath, meta_to_include, end_of_epoch=True
    ):
        return super()._save_checkpoint_metafile(
            Path(fpath).with_name(_UNFINISHED), meta_to_include, end_of_epoch
        )

    def _remove_unfinished(self):
        for folder in Path(self.checkpoints_dir).glob(f"{CKPT_PREFIX}+*"):
            if not (folder / METAFNAME).exists():
                shutil.rmtree(folder)
