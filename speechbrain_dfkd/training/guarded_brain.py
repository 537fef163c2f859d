"""A Brain that skips the steps it could not make with finite numbers."""

import math
from typing import Any

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process
from torch import Tensor

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.training.train_logger import TrainingTerms


class GuardedBrain(sb.Brain):
    """Leaves out each step of which the loss or a gradient is not finite.

    Such a step changes nothing, running statistics and the log included; it
    is counted, and no checkpoint is made before the next good one. More than
    ``nonfinite_patience`` of them in a row end the training. SpeechBrain's own
    ``skip_nonfinite_grads`` lets statistics and momentum keep a NaN, and
    processes count differently; here all decide by the gradients they share.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # Of the epoch so far: loss, and what subclasses append.
        self.terms = TrainingTerms()
        self.skipped_in_row = 0
        self._suspects = []
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("terms", self.terms)

    def fit_batch(self, batch: PaddedBatch) -> Tensor:
        """Train on a batch, and undo what a loss that is not finite left."""
        buffers = [buffer.clone() for buffer in self.modules.buffers()]
        terms, skipped = self.terms.snapshot(), self.skipped_in_row
        loss = super().fit_batch(batch)
        if torch.isfinite(loss):
            self.terms.append({"loss": loss})
        else:
            sums = self.terms.sums.items()
            self._suspects = [k for k, v in sums if not v.isfinite().all()]
            self.terms.restore(terms)
            with torch.no_grad():
                for buffer, kept in zip(
                    self.modules.buffers(), buffers, strict=True
                ):
                    buffer.copy_(kept)
        if self.skipped_in_row > skipped:
            if if_main_process():
                self.terms.count("skipped_steps")
            found = ", ".join(self._suspects) or "the gradients"
            epoch = self.hparams.epoch_counter.current
            self._last_skipped = (
                f"the last one was step {self.step} of epoch {epoch}, in "
                f"{found}, with {', '.join(batch.id)}; {self._remedy(batch)}"
            )
            self._suspects = []
        if self.skipped_in_row > self.nonfinite_patience:
            raise self._too_many_skipped()
        return loss

    def check_loss_isfinite(self, loss: Tensor) -> None:
        """Let all processes know of a loss that is not finite."""
        # A finite gradient of such a loss would go unnoticed by the others. To
        # look at the loss here would wait for the device before the backward.
        factor = torch.where(loss.detach().isfinite(), 1.0, math.nan).to(loss)
        loss.register_hook(lambda gradient: gradient * factor)

    def optimizers_step(self) -> None:
        """Make a step, unless a gradient is not finite."""
        gradients = [weight.grad for weight in self.modules.parameters()]
        gradients = [part for part in gradients if part is not None]
        finite = torch.nn.utils.get_total_norm(gradients).isfinite()
        self.skipped_in_row = 0 if finite else self.skipped_in_row + 1
        # The scaler of fp16 skips such steps itself, and lowers its scale.
        if finite or self.scaler.is_enabled():
            super().optimizers_step()
        else:
            self.zero_grad(set_to_none=True)

    def _too_many_skipped(self) -> UserError:
        return UserError(
            f"losses and gradients must be finite, got NaN or infinity in "
            f"{self.skipped_in_row} steps in a row: {self._last_skipped}. None "
            f"changed the weights; the same command goes on"
        )

    def refuse_epoch_without_steps(self) -> None:
        """End a training whose epochs have fewer steps than the patience."""
        steps = self.step // self.grad_accumulation_factor
        if 0 < steps <= self.skipped_in_row and not self.scaler.is_enabled():
            raise self._too_many_skipped()

    def _remedy(self, batch: PaddedBatch) -> str:
        """Return what may help against a loss that is not finite."""
        signals = (batch.noisy_sig.data, batch.clean_sig.data)
        if all(torch.isfinite(signal).all() for signal in signals):
            return "lower --lr, or look at these recordings"
        return "make these recordings anew: they are not finite"

    def _should_save_intra_epoch_ckpt(self, *args: Any) -> bool:
        # Accumulated gradients are not saved: wait until they are used. And
        # weights that may have diverged must not replace good ones.
        if self.step % self.grad_accumulation_factor or self.skipped_in_row:
            return False
        return super()._should_save_intra_epoch_ckpt(*args)

    def _save_intra_epoch_ckpt(self) -> None:
        self.terms.collect()
        super()._save_intra_epoch_ckpt()

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Begin the averages of an epoch, unless it goes on."""
        # A step above 0: the epoch goes on from a checkpoint.
        self.finite_losses, self.loss_counts = self.step, 1
        if stage == sb.Stage.TRAIN and self.step == 0:
            self.terms.reset()

    def evaluate_batch(self, batch: PaddedBatch, stage: sb.Stage) -> Tensor:
        """Return the loss of a batch, which counts once for each item."""
        self.loss_counts = len(batch)
        return super().evaluate_batch(batch, stage)

    def update_average(self, loss: Tensor, avg_loss: float) -> float:
        """Return the mean of a stage's finite losses, this one included."""
        # SpeechBrain takes the average so far, at first 0, for one that is not.
        if not torch.isfinite(loss):
            return avg_loss
        self.finite_losses += self.loss_counts
        share = self.loss_counts / self.finite_losses
        return avg_loss + (float(loss) - avg_loss) * share
