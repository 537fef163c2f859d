"""Trains a student to follow a teacher."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import ddp_broadcast, main_process_only
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher.frozen import (
    CachedTeacher,
    CleanTeacher,
    FrozenTeacher,
    fingerprint,
)
from speechbrain_dfkd.training.enhancement_brain import EnhancementBrain
from speechbrain_dfkd.training.kd_weight import (
    KDSchedule,
    gradient_norms,
    weight_for_ratio,
)
from speechbrain_dfkd.training.student_start import (
    announce,
    fixed_batches,
    level_of_speech,
    teacher_scale,
    trial_copies,
)


class DFKDBrain(EnhancementBrain):
    """Trains ``modules["student"]`` on L = L_SE + kd_weight * L_KD.

    L_SE is the supervised loss to the clean waveform and L_KD what
    ``modules["kd_loss"]``, a ``KDLoss`` or None, makes of the outputs of
    student and teacher; with ``DFKDLoss`` this is Dynamic Frequency-Adaptive
    Knowledge Distillation (arXiv 2502.04711). The sum and its weight are
    [inferred]. The teacher runs in training only, in evaluation mode, without
    gradient and not while the weight is 0. It is in no optimizer and no
    checkpoint; a checkpoint holds its fingerprint and what its output is
    multiplied by, and training does not resume with another.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        As for ``EnhancementBrain``; ``hparams`` also gives ``kd_weight``,
        ``kd_ramp`` and ``kd_stop`` (see ``KDSchedule``), ``scale_teacher``,
        and ``kd_gradient_ratio``, with which the weight is measured on
        ``kd_gradient_batches`` batches of ``batch_size``. A weight that
        varies or was measured is logged, as the mean over an epoch.
    teacher : FrozenTeacher, CachedTeacher or CleanTeacher, optional
        Whom to follow. None: the student is trained alone.
    """

    trained = "student"

    def __init__(
        self,
        modules: dict,
        opt_class: Callable | None = None,
        hparams: dict | None = None,
        run_opts: RunOptions | dict | None = None,
        checkpointer: Checkpointer | None = None,
        teacher: FrozenTeacher | CachedTeacher | CleanTeacher | None = None,
    ):
        # Read now: a module wrapped for several devices hides its attributes.
        objective = modules["kd_loss"]
        self.student_features = getattr(objective, "student_features", ())
        self.teacher_features = getattr(objective, "teacher_features", ())
        modules = {name: m for name, m in modules.items() if m is not None}
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        # An attribute, not one of self.modules: those are given to the
        # optimizer, put in training mode and wrapped for several devices.
        self.teacher = teacher
        if isinstance(teacher, nn.Module):
            teacher.to(self.device)
        distils = teacher is not None and objective is not None
        given = self.hparams
        weight = given.kd_weight if distils else 0.0
        settings = (given.kd_ramp, given.kd_stop, given.kd_gradient_ratio)
        self.schedule = KDSchedule(weight, *settings)
        if checkpointer is None:
            return
        model = getattr(teacher, "model", None)
        own = fingerprint(model) if model is not None else "none"
        keep = checkpointer.add_recoverable
        keep("teacher_fingerprint", own, _check_fingerprint, _write_text)
        if self._follows_network():
            keep("teacher_scale", teacher, _load_scale, _save_scale)
        if self.schedule.is_measured:
            keep("kd_schedule", self.schedule)

    def _follows_network(self) -> bool:
        """Tell whether targets have a level and a sign of a network's own."""
        is_clean = isinstance(self.teacher, CleanTeacher)
        return self.schedule.weight > 0 and not is_clean

    def scale_teacher(self, dataset: Dataset) -> None:
        """Bring the teacher's waveform to sign and level of the clean speech.

        To be called before ``align_polarity``. Nothing happens where no network
        is followed, nor where a training goes on: its checkpoint has the factor.
        """
        if not self._follows_network() or self._has_begun():
            return
        batches = fixed_batches(dataset, self.hparams.batch_size)
        level = level_of_speech(self._teach, batches)
        self.teacher.scale = teacher_scale(*level, self.hparams.scale_teacher)
        # A student that starts from its teacher has the teacher's level.
        scalable = hasattr(self.network, "scale_output")
        if self.hparams.init_from_teacher and scalable:
            self.network.scale_output(self.teacher.scale)

    def _teach(self, batch: PaddedBatch) -> tuple:
        """Return the teacher's output, the clean speech and its lengths."""
        batch = batch.to(self.device, non_blocking=True)
        with self.training_ctx:
            wav = self.teacher.estimate(batch).wav
        return wav, *batch.clean_sig

    def measure_kd_weight(self, dataset: Dataset) -> None:
        """Set the weight that ``kd_gradient_ratio`` asks for; before ``fit``.

        Nothing happens without a ratio, nor where a training goes on: its
        checkpoint holds the weight.
        """
        if not self.schedule.is_measured or self._has_begun():
            return
        n_batches = self.hparams.kd_gradient_batches
        batches = fixed_batches(dataset, self.hparams.batch_size, n_batches)
        with trial_copies(self.modules) as copies:
            weights = copies[self.trained].parameters()
            weights = [w for w in weights if w.requires_grad]
            losses = partial(self._losses, copies)
            norms = gradient_norms(losses, batches, weights)
        ratio = self.hparams.kd_gradient_ratio
        # That of the first process, where others round differently.
        weight = ddp_broadcast(weight_for_ratio(ratio, *norms))
        self.schedule.weight = weight
        announce(
            f"kd_weight: {weight:.6g} = {ratio} * {norms[0]:.4g} / "
            f"{norms[1]:.4g}, the norms of the gradients of L_SE and L_KD at "
            f"the student's first weights"
        )

    def _losses(self, modules: nn.ModuleDict, batch: PaddedBatch) -> tuple:
        """Return L_SE and L_KD of a batch, apart from each other."""
        with self.training_ctx:
            student, teacher = self._follow(modules, batch)
            loss = self.hparams.supervised_loss(student.wav, *batch.clean_sig)
            kd_loss, _ = modules.kd_loss(student, teacher, *batch.clean_sig)
        return loss, kd_loss

    def _fit_train(self, train_set: DataLoader, **kwargs: Any) -> None:
        # Brain.fit tells this to no public hook, and the schedule needs it,
        # also of a DataLoader that the caller made.
        self.steps_per_epoch = len(train_set)
        super()._fit_train(train_set, **kwargs)

    def kd_weight(self) -> float:
        """Return the weight of L_KD in this step; at 0 no teacher is run."""
        if self.schedule.is_constant:
            return self.schedule.weight
        # Batches whose gradients are accumulated have one weight.
        done = self.step - 1
        done -= done % self.grad_accumulation_factor
        counter, steps = self.hparams.epoch_counter, self.steps_per_epoch
        done += (counter.current - 1) * steps
        return self.schedule.weight_at(done / (counter.limit * steps))

    def compute_forward(self, batch: PaddedBatch, stage: sb.Stage) -> tuple:
        """Return the ``Enhanced`` of the student and, to train, the teacher."""
        if stage != sb.Stage.TRAIN or self.kd_weight() == 0:
            return super().compute_forward(batch, stage), None
        return self._follow(self.modules, batch)

    def _follow(self, modules: nn.ModuleDict, batch: PaddedBatch) -> tuple:
        noisy_wav = batch.to(self.device, non_blocking=True).noisy_sig.data
        # First: what it needs is freed before the student's graph grows.
        teacher = self.teacher.estimate(batch, self.teacher_features)
        return modules.student(noisy_wav, self.student_features), teacher

    def compute_objectives(
        self, predictions: tuple, batch: PaddedBatch, stage: sb.Stage
    ) -> Tensor:
        """Return L_SE + kd_weight * L_KD, in evaluation L_SE alone."""
        loss = super().compute_objectives(predictions[0], batch, stage)
        if stage != sb.Stage.TRAIN:
            return loss
        weight = self.kd_weight()
        if self.schedule.is_measured or not self.schedule.is_constant:
            self.terms.append({"kd_weight": torch.tensor(weight)})
        if weight == 0:
            return loss
        kd_loss, terms = self.modules.kd_loss(*predictions, *batch.clean_sig)
        self.terms.append({"l_kd": kd_loss, **terms})
        return loss + weight * kd_loss

    def record(self) -> dict:
        """Return also the kd_weight, where it was measured."""
        weight = self.schedule.weight if self.schedule.is_measured else None
        return {**super().record(), "kd_weight": weight}

    def _remedy(self, batch: PaddedBatch) -> str:
        noisy_is_finite = torch.isfinite(batch.noisy_sig.data).all()
        if self._follows_network() and noisy_is_finite:
            with torch.no_grad():
                wav, *_ = self._teach(batch)
            if not torch.isfinite(wav).all():
                return (
                    "the teacher's output is not finite there: choose another "
                    "--teacher_ckpt, or train the teacher anew"
                )
        return super()._remedy(batch)


@main_process_only
def _write_text(text: str, path: Path) -> None:
    path.write_text(text)


def _check_fingerprint(own: str, path: Path, end_of_epoch: bool) -> None:
    saved = path.read_text()
    if saved != own:
        raise UserError(
            f"the teacher must stay the same within a training, got "
            f"{own[:12]} where {path} was trained with {saved[:12]}; give "
            f"that teacher, or choose another --output_folder"
        )


def _save_scale(teacher: FrozenTeacher, path: Path) -> None:
    _write_text(repr(teacher.scale), path)


def _load_scale(teacher: FrozenTeacher, path: Path, end_of_epoch: bool) -> None:
    teacher.scale = float(path.read_text())
