"""What a finished job leaves on disk, from which the report is made."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import write_atomically

JOBS_FOLDER = "jobs"
REPORT, TUNING = "report", "tuning"


def save_json(path, content):
    """Write ``content`` to ``path``, whole or not at all; NaN is refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(path), text.encode())


def load_json(path):
    """Read JSON; a file that is absent or is none raises a ``UserError``."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} must be a JSON file of a comparison, got {error}; run the "
            "comparison's command, or name its folder"
        ) from error


def job_path(folder, arm: str, setting: Mapping, seed: int) -> Path:
    """Return the file of a job's result.

    Arguments
    ---------
    folder : str or Path
        The comparison's.
    arm : str
        Its name in the comparison file.
    setting : mapping
        What was tuned: leaf keys and their values; empty without tuning.
    seed : int
        The student's.

    Returns
    -------
    Path

    Example
    -------
    >>> print(job_path("c", "dfkd", {"kd_gradient_ratio": 0.3, "lr": 0.001}, 1))
    c/jobs/dfkd-kd_gradient_ratio_0.3-lr_0.001-seed_1.json
    """
    tuned = [f"{key}_{value}" for key, value in sorted(setting.items())]
    name = "-".join([arm, *tuned, f"seed_{seed}"])
    return Path(folder, JOBS_FOLDER, f"{name}.json")


@dataclass
class JobResult:
    """What one training left: the scores of its student.

    Arguments
    ---------
    arm : str
        The arm's name in the comparison file.
    seed : int
        The student's seed.
    purpose : str
        "report" or "tuning".
    setting : dict
        What was tuned: leaf keys and their values; empty without tuning.
    valid : dict
        ``{utterance: {metric: value}}`` of the validation set; a value is None
        where the metric is undefined.
    test : dict
        The same of the test set; empty where the purpose is tuning.
    steps : int
        Optimizer steps.
    seconds_per_step : float
        The median over the training's steps.
    command : str
        Repeats the job.
    kd_weight : float, optional
        As it was measured for a ratio of gradients; None where it was not.

    Raises
    ------
    UserError
        If the purpose is neither of the two.
    """

    arm: str
    seed: int
    purpose: str
    setting: dict
    valid: dict
    test: dict
    steps: int
    seconds_per_step: float
    command: str
    kd_weight: float | None = None

    def __post_init__(self):
        if self.purpose not in (REPORT, TUNING):
            raise UserError(
                f"purpose must be {REPORT} or {TUNING}, got {self.purpose!r} "
                f"for {self.label}; correct the job's file"
            )

    @property
    def label(self) -> str:
        """The job for a reader, as ``dfkd, seed 1``."""
        return f"{self.arm}, seed {self.seed}"

    def save(self, folder) -> Path:
        """Write the result into a comparison's folder; return its file."""
        path = job_path(folder, self.arm, self.setting, self.seed)
        save_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, path) -> "JobResult":
        """Read what ``save`` wrote.

        Raises
        ------
        UserError
            If the file is no job's result.
        """
        content = load_json(path)
        known = {entry.name for entry in fields(cls)}
        # A file of before a weight was kept lacks it.
        optional = {e.name for e in fields(cls) if e.default is not MISSING}
        if not (
            isinstance(content, dict)
            and known - optional <= set(content) <= known
        ):
            raise UserError(
                f"{path} must have the keys {sorted(known - optional)}, got "
                f"{sorted(content)}; remove it, and the comparison's command "
                "repeats the job"
            )
        return cls(**content)
