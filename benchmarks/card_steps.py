"""A device, and training steps of a pair of networks on it."""

import functools
import sys

import speechbrain as sb
import torch
from measure import time_in_turn
from sizes import load_network
from train_step import make_batch

from speechbrain_dfkd import DFKDBrain, DFKDLoss, EnhancementBrain
from speechbrain_dfkd.losses import si_snr_loss
from speechbrain_dfkd.teacher.frozen import CachedTeacher, FrozenTeacher

PAIRS = {
    "DCCRN": ("dccrn_cl", "dccrn_quarter"),
    "Conv-TasNet": ("conv_tasnet", "conv_tasnet_small"),
    "DPTNet": ("dptnet", "dptnet_small"),
}
SMALL = {"Conv-TasNet": ("conv_tasnet_small", "conv_tasnet_tiny")}


class Card:
    """The device, and sizes.

    Arguments
    ---------
    device : str
        "cuda" or "cpu".
    small : bool
        Whether everything is as small as a test wants it.
    """

    def __init__(self, device, small):
        self.device, self.small = torch.device(device), small
        self.is_cuda = self.device.type == "cuda"
        self.pairs = SMALL if small else PAIRS
        self.batch = (2, 0.5) if small else (16, 4.0)
        self.rounds = 2 if small else 9

    def wait(self):
        """Wait until the device has done all it was given."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def time(self, works):
        """Return seconds of each work, in turn, to the end on the device."""

        def ended(work):
            work()
            self.wait()

        calls = {k: functools.partial(ended, v) for k, v in works.items()}
        for call in calls.values():  # cuDNN chooses its kernels
            call()
        return time_in_turn(calls, self.rounds)

    def peak(self, work):
        """Return the megabytes that a call allocates; 0 on a CPU."""
        if not self.is_cuda:
            return 0.0
        self.wait()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        self.wait()
        return (torch.cuda.max_memory_allocated() - before) / 1e6


def allow_tf32(allowed):
    """Let float32 products round their factors, as SpeechBrain does."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


class Pair:
    """Training steps of a published pair on one batch.

    Arguments
    ---------
    card : Card
        Where.
    names : tuple of str
        Teacher and student.
    precision : str
        SpeechBrain's.
    """

    def __init__(self, card, names, precision="fp32"):
        torch.manual_seed(0)
        self.card, self.precision = card, precision
        teacher, student = map(load_network, names)
        batch = make_batch(*card.batch)
        self.batch = batch.to(card.device)
        self.teacher = FrozenTeacher(teacher).to(card.device)
        with torch.no_grad():
            wav = self.teacher(self.batch.noisy_sig.data).wav
        self.batch.teacher_sig = self.batch.clean_sig._replace(data=wav)
        modules = {"student": student, "kd_loss": DFKDLoss()}
        self.brain = self._brain(DFKDBrain, modules, teacher=self.teacher)
        modules = {"student": load_network(names[1]), "kd_loss": DFKDLoss()}
        cached = CachedTeacher(teacher)
        self.cached = self._brain(DFKDBrain, modules, teacher=cached)
        modules = {"model": load_network(names[1])}
        self.alone = self._brain(EnhancementBrain, modules)

    def _brain(self, kind, modules, **more):
        hparams = {"supervised_loss": si_snr_loss, "kd_weight": 1.0}
        hparams |= {"kd_ramp": 0.0, "kd_stop": 1.0, "kd_gradient_ratio": None}
        limit = sys.maxsize  # of the steps of random targets
        hparams["epoch_counter"] = sb.utils.epoch_loop.EpochCounter(1)
        options = {"device": str(self.card.device), "nonfinite_patience": limit}
        options["precision"] = self.precision
        brain = kind(modules, torch.optim.Adam, hparams, options, **more)
        brain.on_fit_start()
        brain.on_stage_start(sb.Stage.TRAIN, 1)
        brain.modules.train()
        return brain

    def step(self, brain):
        """Make a whole step of a Brain."""
        brain.step += 1
        brain.fit_batch(self.batch)

    def teach(self):
        """Run the teacher alone."""
        with self.brain.training_ctx:
            self.teacher(self.batch.noisy_sig.data)

    def works(self):
        """Return what is timed, by name."""
        return {
            "DFKD": functools.partial(self.step, self.brain),
            "student": functools.partial(self.step, self.alone),
            "cached": functools.partial(self.step, self.cached),
            "teacher": self.teach,
        }
