"""The table of all keys of the leaves in hparams/, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from speechbrain_dfkd.errors import is_number
from speechbrain_dfkd.evaluation.metrics import best_metrics


@dataclass(frozen=True)
class Check:
    """What a value must be, in words and as a predicate."""

    constraint: str
    accepts: Callable = lambda value: True
    advice: str = "pass --{key} with another value"


def _some_of(*names: str) -> Check:
    return Check(
        f"a list of some of {', '.join(names)}, each once",
        lambda value: (
            isinstance(value, list)
            and 0 < len(value) == len({*names} & {*map(str, value)})
        ),
        f"pass for example --{{key}} '[{names[-1]}]'",
    )


def _number(constraint: str, accepts: Callable) -> Check:
    return Check(constraint, lambda v: is_number(v) and accepts(v))


def _integer(least: int) -> Check:
    constraint = f"an integer at least {least}"
    return _number(constraint, lambda v: isinstance(v, int) and v >= least)


def _having(method: str) -> Check:
    return Check(f"an object with {method}()", lambda v: hasattr(v, method))


ABOVE_0 = _number("a number above 0", lambda v: v > 0)
NULL_OR_ABOVE_0 = Check(
    "null or a number above 0", lambda v: v is None or ABOVE_0.accepts(v)
)
AT_LEAST_0 = _number("a number at least 0", lambda v: v >= 0)
SHARE = _number("a number from 0 to 1", lambda v: 0 <= v <= 1)
SHARE_ABOVE_0 = _number("a number above 0 up to 1", lambda v: 0 < v <= 1)
COUNT, COUNT_FROM_1 = _integer(0), _integer(1)
# YAML reads "no" and "off" as text, which would count as True.
FLAG = Check("True or False", lambda v: isinstance(v, bool))
# Text whatever else YAML would read: a folder 007.
PATH, TEXT = Check("a path"), Check("text")
MAPPING = Check(
    "a mapping of keys to values",
    lambda v: isinstance(v, Mapping),
    "pass for example --{key} '{{lr: 0.0005}}'",
)
BEST_METRIC = Check(
    f"one of {', '.join(best_metrics())}", lambda v: v in best_metrics()
)
SAMPLE_RATE = Check(
    "16000 Hz, for which the networks and wide-band PESQ are defined",
    lambda v: v == 16000,
    "data of higher rates are resampled by the preparation",
)

# Key.leaf: the leaves that have it.
BOTH, DFKD = "both", "dfkd"
# Key.resume: who may change it on going on; ANY: also a comparison.
RUN, ANY = "a run", "a run or a comparison"
# Key.arms: what a comparison makes of it.
OWN, ALIKE, TUNED = "one a training", "one for all arms", "may be tuned"


@dataclass(frozen=True)
class Key:
    """One key of the leaves."""

    meaning: str
    check: Check | None = None  # of its value
    built: Check | None = None  # of the object that its value describes
    leaf: str = BOTH
    read: bool = True  # by the scripts; False: by other keys, SpeechBrain
    shared: bool = False  # a dfkd leaf's holds for the teacher that it trains
    resume: str | None = None
    # The default, and what a run's name ends in where it is another.
    run_name: tuple | None = None
    arms: str | None = None
    prepares: bool = False  # given to the function that prepares the data
    folder: str | None = None  # of hparams/, with the files that it may name


# In the order in which they show in a run's name.
# fmt: off
KEYS = {
    "seed": Key("decides on first weights, data order and crops", arms=OWN),
    "__set_seed": Key("seeds all generators before any object is made",
        read=False),
    "dataset": Key("the data set's functions and settings, from recipes/",
        shared=True),
    "results_folder": Key("holds all that is written",
        PATH, shared=True, resume=ANY),
    "data_folder": Key("the recordings; null: the demo corpus",
        PATH, shared=True, resume=ANY, prepares=True),
    "sample_rate": Key("of all recordings, in Hz",
        SAMPLE_RATE, shared=True, prepares=True),
    "prepared_folder": Key("resampled copies, and lists of recordings",
        PATH, shared=True, resume=ANY, prepares=True),
    "train_annotation": Key("the list of the training's recordings",
        PATH, shared=True, resume=ANY, prepares=True),
    "valid_annotation": Key("the list of the validation's recordings",
        PATH, shared=True, resume=ANY, prepares=True),
    "test_annotation": Key("the list of the test's recordings",
        PATH, shared=True, resume=ANY, prepares=True),
    "skip_prep": Key("True: the lists are there already, no data are prepared",
        FLAG, shared=True, resume=ANY),
    "student": Key("the network that is distilled: a file or its name",
        leaf=DFKD, folder="models"),
    "teacher": Key("the network that is followed: a file or its name",
        shared=True, folder="models"),
    "kd": Key("the objective of distillation: a file or its name",
        leaf=DFKD, folder="kd"),
    "kd_weight": Key("lambda in L = L_SE + lambda * L_KD; 0: no distillation",
        AT_LEAST_0, leaf=DFKD),
    "clean_as_teacher": Key("True: the clean signal in the teacher's place, "
        "as a control", FLAG, leaf=DFKD, run_name=(False, "clean_as_teacher")),
    "teacher_cache": Key("True: the teacher's outputs are stored once, and "
        "not computed in each epoch",
        FLAG, leaf=DFKD, run_name=(False, "teacher_cache")),
    "teacher_cache_folder": Key("where the teacher's outputs are stored",
        PATH, leaf=DFKD, resume=ANY),
    "kd_gradient_ratio": Key("measures kd_weight at the first step: the "
        "gradient of lambda * L_KD is so many times as long as that of L_SE",
        NULL_OR_ABOVE_0, leaf=DFKD, run_name=(None, "gradient_ratio"),
        arms=TUNED),
    "kd_gradient_batches": Key("training batches for kd_gradient_ratio",
        COUNT_FROM_1, leaf=DFKD),
    "kd_ramp": Key("share of the training over which kd_weight rises from 0",
        SHARE, leaf=DFKD, run_name=(0, "ramp")),
    "kd_stop": Key("share of the training after which the student goes on "
        "without distillation", SHARE_ABOVE_0, leaf=DFKD, run_name=(1, "stop")),
    "init_from_teacher": Key("True: the student starts from the teacher's "
        "channels of largest norm",
        FLAG, leaf=DFKD, run_name=(False, "initialised")),
    "teacher_ckpt": Key("a trained teacher: a file or a folder; null: it is "
        "trained first", PATH, leaf=DFKD, resume=RUN, arms=ALIKE),
    "teacher_leaf": Key("the leaf that trains the teacher",
        PATH, leaf=DFKD, resume=ANY, arms=ALIKE),
    "teacher_overrides": Key("values for teacher_leaf alone",
        MAPPING, leaf=DFKD, resume=RUN, arms=ALIKE),
    "experiment": Key("names the folder of runs of one student and teacher",
        TEXT, leaf=DFKD, read=False, resume=ANY, arms=OWN),
    "run": Key("names the folder of a run in that of experiment",
        TEXT, leaf=DFKD, read=False, resume=ANY, arms=OWN),
    "output_folder": Key("the folder of this run", PATH, resume=ANY, arms=OWN),
    "save_folder": Key("checkpoints of this run",
        PATH, read=False, resume=ANY, arms=OWN),
    "train_log": Key("a text file with a line for each epoch",
        PATH, read=False, resume=ANY),
    "tensorboard": Key("True: the log also goes to tensorboard/ beside it",
        FLAG, read=False, resume=ANY),
    "save_enhanced": Key("True: the enhanced test files are kept",
        FLAG, resume=ANY),
    "score_splits": Key("the data that are scored at the end",
        _some_of("valid", "test"), leaf=DFKD, resume=ANY, arms=OWN),
    "score_systems": Key("whose scores; without student nothing is distilled, "
        "and the teacher is trained unless it was",
        _some_of("noisy", "teacher", "student"), leaf=DFKD, resume=ANY,
        arms=OWN),
    "number_of_epochs": Key("passes over the training data",
        COUNT_FROM_1, resume=RUN),
    "batch_size": Key("crops in each step", COUNT_FROM_1),
    "segment_seconds": Key("length of a random training crop", ABOVE_0),
    "lr": Key("learning rate at first", ABOVE_0, read=False, arms=TUNED),
    "weight_decay": Key("of the optimizer", AT_LEAST_0, read=False),
    # SpeechBrain takes a negative norm for "no clipping", but ascends then.
    "max_grad_norm": Key("the norm to which longer gradients are clipped",
        ABOVE_0, read=False),
    "nonfinite_patience": Key("steps in a row without a finite loss and "
        "gradient that are skipped before the training ends",
        COUNT, read=False, resume=ANY),
    "lr_factor": Key("what the learning rate is multiplied by when the "
        "validation loss stays high", SHARE_ABOVE_0, read=False),
    "lr_patience": Key("epochs without a better validation loss before that",
        COUNT, read=False),
    "lr_decay_share": Key("share of the epochs, at the end, over which the "
        "learning rate falls to 0", SHARE, read=False),
    "best_metric": Key("of validation: its best epoch is tested", BEST_METRIC),
    "ckpt_interval_minutes": Key("between checkpoints in an epoch; 0: none",
        AT_LEAST_0, read=False, shared=True, resume=ANY),
    "num_workers": Key("processes that load audio",
        COUNT, shared=True, resume=ANY),
    "prefetch_factor": Key("batches that each of them makes ahead",
        COUNT_FROM_1, shared=True, resume=ANY),
    "persistent_workers": Key("True: they live as long as the training, else "
        "an epoch", FLAG, shared=True, resume=ANY),
    "pin_memory": Key("True: batches go to a GPU from memory that lets it work "
        "meanwhile", FLAG, shared=True, resume=ANY),
    "eval_batch_size": Key("utterances of one length that are enhanced at a "
        "time in validation, test and teacher_cache",
        COUNT_FROM_1, shared=True, resume=ANY),
    "modules": Key("what is trained or put on the device"),
    "supervised_loss": Key("L_SE, of estimate, target and relative lengths"),
    "align_polarity": Key("True: a network whose output is the inverse of the "
        "clean speech is negated", FLAG, run_name=(True, "align_polarity")),
    "scale_teacher": Key("True: the teacher's output gets the sign and level "
        "of the clean speech",
        FLAG, leaf=DFKD, run_name=(True, "scale_teacher")),
    "opt_class": Key("the optimizer"),
    "epoch_counter": Key("counts the epochs",
        built=_having("__iter__"), resume=ANY),
    "lr_annealing": Key("sets the learning rate after each epoch",
        built=Check("callable", callable)),
    "train_logger": Key("writes train_log",
        built=_having("log_stats"), resume=ANY),
    "checkpointer": Key("writes and finds checkpoints",
        built=_having("recover_if_possible"), resume=ANY),
}
# fmt: on

# What the leaves of each script must have.
DFKD_KEYS = {key for key, row in KEYS.items() if row.read}
TEACHER_KEYS = {key for key in DFKD_KEYS if KEYS[key].leaf == BOTH}
SHARED_KEYS = [key for key, row in KEYS.items() if row.shared]
PREPARE_KEYS = [key for key, row in KEYS.items() if row.prepares]
TEXT_KEYS = {k for k, row in KEYS.items() if row.check in (PATH, TEXT)}
# A run that goes on may change all of these, a comparison the first alone.
TOLERATED = {key for key, row in KEYS.items() if row.resume == ANY}
FIXED_IN_COMPARISON = [key for key, row in KEYS.items() if row.resume == RUN]
MAY_CHANGE = TOLERATED | set(FIXED_IN_COMPARISON)
MAY_CHANGE |= {"lr_annealing.epoch_counter.limit"}  # is number_of_epochs
ALIKE_IN_ARMS = {k for k, r in KEYS.items() if r.shared or r.arms == ALIKE}
OWN_OF_A_TRAINING = {key for key, row in KEYS.items() if row.arms == OWN}
TUNABLE = [key for key, row in KEYS.items() if row.arms == TUNED]

# Of SpeechBrain's options, those that say where, how much, and what is shown.
# All others decide on the results.
FREE_OPTIONS = {
    "test_only", "debug", "debug_batches", "debug_epochs",
    "debug_persistently", "log_config", "device", "data_parallel_backend",
    "data_parallel_count", "distributed_backend", "distributed_launch",
    "find_unused_parameters", "noprogressbar", "ckpt_interval_minutes",
    "ckpt_interval_steps", "tqdm_colored_bar", "tqdm_barcolor",
    "profile_training", "profile_warmup", "profile_steps", "param_file",
    "overridden_args",
}  # fmt: skip
