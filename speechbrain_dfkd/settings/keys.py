"""The table of all keys of the leaves in hparams/, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

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

SOME_SPLITS = _some_of("valid", "test")
SOME_SYSTEMS = _some_of("noisy", "teacher", "student")
ITERABLE, CALLABLE = _having("__iter__"), Check("callable", callable)
LOGGER, CHECKPOINTER = _having("log_stats"), _having("recover_if_possible")

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
    run_name: list | None = None
    arms: str | None = None
    prepares: bool = False  # given to the function that prepares the data
    folder: str | None = None  # of hparams/, with the files that it may name


def _read_table() -> dict[str, Key]:
    """Read keys.yaml, in whose order keys show in a run's name."""
    checks = {k: v for k, v in globals().items() if isinstance(v, Check)}
    table = YAML(typ="safe").load(Path(__file__).with_suffix(".yaml"))
    for row in table.values():
        row |= {k: checks[row[k]] for k in ("check", "built") if k in row}
    return {key: Key(**row) for key, row in table.items()}


KEYS = _read_table()

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
