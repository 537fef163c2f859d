"""Supervised training and evaluation of an enhancement network."""

import json
import statistics
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from numpy import ndarray
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.nnet.schedulers import update_learning_rate
from speechbrain.utils.distributed import if_main_process
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from speechbrain_dfkd.data.audio import fits_16_bits, to_16_bits, wav_bytes
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation.metrics import METRICS, validation_metrics
from speechbrain_dfkd.evaluation.scoring import Scoring
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.models.base import Enhanced
from speechbrain_dfkd.training.guarded_brain import GuardedBrain
from speechbrain_dfkd.training.student_start import (
    align,
    announce,
    fixed_batches,
    mean_correlation,
    trial_copies,
)
from speechbrain_dfkd.training.train_logger import histogram_quantiles

TIMING_FILE = "timing.json"


class EnhancementBrain(GuardedBrain):
    """Trains ``modules["model"]`` to turn noisy into clean speech.

    Batches carry ``id``, ``noisy_sig`` and ``clean_sig``. Of validation and
    test sets, only utterances of one length are enhanced at a time, because
    padding changes what a network puts out near it; all CPU cores score them,
    while a GPU enhances the next. The best checkpoint is the one of highest
    ``best_metric`` on validation.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        As for ``speechbrain.Brain``. Of ``hparams`` it reads ``sample_rate``,
        ``supervised_loss``, ``lr_annealing``, ``epoch_counter``,
        ``best_metric``, ``train_logger``, ``output_folder`` and
        ``save_enhanced``. With that, a test writes its wavs to
        ``enhanced_folder``. ``align_polarity`` and ``batch_size`` are read by
        the methods about the polarity.
    """

    trained = "model"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # Not wrapped for several devices, as that of self.modules will be.
        self.network = self.modules[self.trained]
        self.train_stats = {}
        self.scores = None  # of the last validation or test

    def align_polarity(self, dataset: Dataset) -> None:
        """Negate the network if its first output is the inverse of the speech.

        To be called before ``fit`` with the training set, whose crops of epoch
        0 no epoch trains on. Nothing happens where a training goes on.
        """
        if not self.hparams.align_polarity or self._has_begun():
            return
        batches = fixed_batches(dataset, self.hparams.batch_size)
        with trial_copies(self.modules) as copies:
            enhance = partial(self._enhance, copies[self.trained])
            value = mean_correlation(enhance, batches)
        align(self.network, value, f"the {self.trained}'s first output")

    def correct_polarity(self, dataset: Dataset) -> None:
        """Negate the trained network if its output is inverted speech."""
        batches = fixed_batches(dataset, batch_size=1, n_batches=16)
        enhance = partial(self._enhance, self.network.eval())
        value = mean_correlation(enhance, batches)
        wanted = self.hparams.align_polarity
        align(self.network, value, f"the trained {self.trained}", wanted)

    def _enhance(self, network: nn.Module, batch: PaddedBatch) -> tuple:
        """Return a network's output, the clean speech and its lengths."""
        batch = batch.to(self.device, non_blocking=True)
        with self.training_ctx:
            wav = network(batch.noisy_sig.data).wav
        return wav, *batch.clean_sig

    def _has_begun(self) -> bool:
        """Tell whether there is no start of a training to prepare."""
        found = self.checkpointer and self.checkpointer.find_checkpoint()
        return self.test_only or found is not None

    def compute_forward(self, batch: PaddedBatch, stage: sb.Stage) -> Enhanced:
        """Return the network's ``Enhanced`` for a batch."""
        lengths = batch.noisy_sig.lengths
        one_by_one = stage != sb.Stage.TRAIN and bool((lengths < 1).any())
        noisy = batch.to(self.device, non_blocking=True).noisy_sig.data
        network = self.modules[self.trained]
        if not one_by_one:
            return network(noisy)
        samples = (lengths * noisy.shape[1]).round().int().tolist()
        parts = [x[None, :n] for x, n in zip(noisy, samples, strict=True)]
        wavs = [network(part).wav[0] for part in parts]
        return Enhanced(pad_sequence(wavs, batch_first=True), {})

    def compute_objectives(
        self, predictions: Enhanced, batch: PaddedBatch, stage: sb.Stage
    ) -> Tensor:
        """Return the supervised loss; in evaluation, score the waveforms."""
        loss = self.hparams.supervised_loss(predictions.wav, *batch.clean_sig)
        if stage == sb.Stage.TRAIN:
            self.terms.append({"l_se": loss})
        elif if_main_process():
            for clip in _clips(batch, predictions.wav):
                if stage == sb.Stage.TEST and self.hparams.save_enhanced:
                    self._write_enhanced(clip[0], clip[2])
                self._scoring.add(clip)
        return loss

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Start to score, and the clock of steps."""
        super().on_stage_start(stage, epoch)
        self._step_ends = [time.perf_counter()]
        if stage == sb.Stage.TRAIN:
            return
        self._n_float = 0
        is_test = stage == sb.Stage.TEST
        self._metrics = METRICS if is_test else validation_metrics()
        # On a CPU enhancing and scoring would slow each other.
        beside = torch.device(self.device).type != "cpu"
        progress = not (beside or self.noprogressbar)
        rate = self.hparams.sample_rate
        self._scoring = Scoring(rate, self._metrics, beside, progress)

    def on_fit_batch_end(self, *args: Any) -> None:
        """Stop the clock of a step and start that of the next."""
        super().on_fit_batch_end(*args)
        self._step_ends.append(time.perf_counter())

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: int | None = None
    ) -> None:
        """Score, log, and keep the last and the best checkpoint."""
        if stage == sb.Stage.TRAIN:
            self._finish_train(stage_loss, epoch)
            return
        stats = {"loss": stage_loss, **self._score()}
        if stage == sb.Stage.VALID:
            self._finish_valid(stats, stage_loss, epoch)
        elif self.hparams.train_logger is not None:
            meta = {"epoch loaded": self.hparams.epoch_counter.current}
            self.hparams.train_logger.log_stats(meta, test_stats=stats)

    def _finish_train(self, stage_loss: float, epoch: int) -> None:
        self.refuse_epoch_without_steps()
        self.terms.collect()
        self.train_stats = {"loss": stage_loss, **self.terms.means()}
        self.train_stats.update(self.terms.events)
        for name, counts in self.terms.histograms().items():
            quantiles = histogram_quantiles(counts, self.hparams.sample_rate)
            for quantile, value in quantiles.items():
                self.train_stats[f"{name}_{quantile}"] = value
            self._write_histogram(name, counts, epoch)
        if if_main_process() and len(self._step_ends) > 1:
            self._write_timing(epoch)
        # A run killed during validation need not train this epoch again.
        if self.checkpointer is not None:
            self._save_intra_epoch_ckpt()

    def _write_timing(self, epoch: int) -> None:
        """Note the median time of an epoch's steps, waiting for data included.

        In a checkpoint it would go back with the weights to the best epoch.
        """
        seconds = self._read_timing()["seconds"]
        steps = [end - start for start, end in pairwise(self._step_ends)]
        seconds[str(epoch)] = statistics.median(steps)
        timing = {"seconds": seconds, "steps": self.optimizer_step}
        path = Path(self.hparams.output_folder, TIMING_FILE)
        write_atomically(path, json.dumps(timing, indent=1).encode())

    def _read_timing(self) -> dict:
        path = Path(self.hparams.output_folder, TIMING_FILE)
        if not path.exists():  # nothing was trained, or before it was noted
            return {"seconds": {}, "steps": None}
        return json.loads(path.read_text(encoding="utf-8"))

    def record(self) -> dict:
        """Return the steps made, and the median of the epochs' medians."""
        timing = self._read_timing()
        seconds = timing["seconds"].values()
        median = statistics.median(seconds) if seconds else None
        return {"steps": timing["steps"], "seconds_per_step": median}

    def _finish_valid(self, stats: dict, stage_loss: float, epoch: int) -> None:
        if not self.finite_losses:
            raise UserError(
                f"the validation loss must be finite, got NaN or infinity for "
                f"all utterances after epoch {epoch}; lower --lr, or look at "
                f"the validation recordings"
            )
        anneal, log = self.hparams.lr_annealing, self.hparams.train_logger
        lr, next_lr = anneal([self.optimizer], epoch, stage_loss)
        update_learning_rate(self.optimizer, next_lr)
        log.log_stats({"epoch": epoch, "lr": lr}, self.train_stats, stats)
        if self.checkpointer is not None:
            metric = self.hparams.best_metric
            meta = {"epoch": epoch, metric: stats.get(metric, float("-inf"))}
            self.checkpointer.save_and_keep_only(meta, max_keys=[metric])

    def _score(self) -> dict[str, float]:
        """Wait for the scores; return the means of defined ones by name."""
        if not if_main_process():
            return {}
        self.scores = self._scoring.scores()
        if self._n_float:
            announce(
                f"{self.hparams.enhanced_folder}: {self._n_float} files are "
                f"float32, as 16 bits would clip them or round them away"
            )
        means = {name: self.scores.mean(name) for name in self._metrics}
        return {name: mean for name, mean in means.items() if mean is not None}

    def _write_enhanced(self, utterance: str, enhanced: ndarray) -> None:
        """Write a wav, in float32 one that 16 bits would spoil."""
        fits = fits_16_bits(enhanced)
        self._n_float += not fits
        samples = to_16_bits(enhanced) if fits else enhanced
        content = wav_bytes(samples, self.hparams.sample_rate)
        path = Path(self.hparams.enhanced_folder, f"{utterance}.wav")
        write_atomically(path, content)

    def _write_histogram(self, name: str, counts: Tensor, epoch: int) -> None:
        """Write one row an epoch, one column a bin, headed by its Hz."""
        path = Path(self.hparams.output_folder, f"{name}.csv")
        bin_hz = self.hparams.sample_rate / 2 / (len(counts) - 1)
        rows = {"epoch": [f"{i * bin_hz:g}" for i in range(len(counts))]}
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        rows |= {line.partition(",")[0]: line.split(",")[1:] for line in lines}
        rows[str(epoch)] = [str(int(count)) for count in counts]
        text = "".join(",".join([k, *row]) + "\n" for k, row in rows.items())
        write_atomically(path, text.encode())

    def _wrap_distributed(self) -> None:
        """Wrap for several processes; batch norms stay local on a CPU."""
        # SpeechBrain makes them SyncBatchNorm, which no CPU can train.
        if not self.distributed_launch or self.distributed_backend != "gloo":
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(weight.requires_grad for weight in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    module, find_unused_parameters=self.find_unused_parameters
                )


def _clips(batch: PaddedBatch, enhanced_wav: Tensor) -> Iterator[tuple]:
    """Yield (id, clean [L], enhanced [L]) of each utterance of a batch."""
    clean_wav, lengths = batch.clean_sig
    samples = (lengths * clean_wav.shape[1]).round().int().tolist()
    # At once: each copy waits for the device.
    pairs = torch.stack((clean_wav, enhanced_wav.float()), 1).cpu().numpy()
    for utterance, pair, length in zip(batch.id, pairs, samples, strict=True):
        yield utterance, *pair[:, :length]
