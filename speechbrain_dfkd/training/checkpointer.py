"""A SpeechBrain Checkpointer whose checkpoints are complete and finite."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils import checkpoints
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from torch import nn

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.teacher.trained_network import non_finite

_UNFINISHED = f"{checkpoints.CKPT_PREFIX}.unfinished"
# torch's own writer says neither that the disk is full nor which one.
_TORCH_CANNOT_WRITE = re.compile("inline_container|PytorchStreamWriter")


class AtomicCheckpointer(checkpoints.Checkpointer):
    """Saves checkpoints so that a run can be killed at any moment.

    SpeechBrain (1.1) writes the file that makes a folder a checkpoint first: a
    run killed before the weights follow leaves a most recent checkpoint that
    cannot be loaded. Here that file gets its name last. What is not finite is
    neither saved nor loaded. Arguments are those of
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

    def save_checkpoint(self, *args: Any, **kwargs: Any):
        """Save a checkpoint of what is finite, or raise a UserError."""
        if if_main_process():
            self._refuse_nonfinite("the last one is kept; lower --lr")
            self._remove_unfinished()
        try:
            checkpoint = super().save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError) as error:
            if if_main_process():
                self._remove_unfinished()  # it takes room
            if not _TORCH_CANNOT_WRITE.search(str(error)):
                raise
            text = f"{os.strerror(errno.ENOSPC)} (torch: {error})"
            folder = str(self.checkpoints_dir)
            raise OSError(errno.ENOSPC, text, folder) from error
        if checkpoint is not None:  # None: this is not the main process
            folder = Path(checkpoint.path)
            os.replace(folder / _UNFINISHED, folder / checkpoints.METAFNAME)
        # Else another process would look for checkpoints before this is one.
        ddp_barrier()
        return checkpoint

    def load_checkpoint(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Load a checkpoint; raise a UserError where it is not finite."""
        super().load_checkpoint(checkpoint)
        advice = "the same command then goes on from the one before"
        self._refuse_nonfinite(f"delete {checkpoint.path}; {advice}")

    def _refuse_nonfinite(self, next_step: str) -> None:
        if names := list(_ruined(self.recoverables)):
            raise UserError(
                f"a checkpoint must be finite, got NaN or infinity in\n"
                f"{listing(names, 5)}\n{next_step}"
            )

    def _save_checkpoint_metafile(self, fpath: Path, *args: Any) -> dict:
        unfinished = fpath.with_name(_UNFINISHED)
        return super()._save_checkpoint_metafile(unfinished, *args)

    def _remove_unfinished(self) -> None:
        pattern = f"{checkpoints.CKPT_PREFIX}+*"
        for folder in Path(self.checkpoints_dir).glob(pattern):
            if not (folder / checkpoints.METAFNAME).exists():
                shutil.rmtree(folder)


def _ruined(value: object, name: str = "") -> Iterator[str]:
    """Yield the names of tensors of a state, however nested."""
    if isinstance(value, torch.Tensor):
        if not torch.isfinite(value).all():
            yield name
    elif isinstance(value, nn.Module):
        for weight in non_finite(value.state_dict(), value):
            yield f"{name}.{weight}"
    elif hasattr(value, "state_dict"):
        yield from _ruined(value.state_dict(), name)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _ruined(part, f"{name}.{key}".lstrip("."))
