"""What the jobs of a comparison left."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError, listing
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


COMPARISON_FILE = "comparison.json"
SYSTEMS_FILE = "systems.json"
SPLITS = ("valid", "test")
SYSTEMS = ("noisy", "teacher")
# What the report reads of comparison.json.
KEYS = {
    "name", "baseline", "arms", "seeds", "tuning_seed", "tune_on",
    "side_by_side", "gate", "confidence", "bootstrap_draws", "snr_edges_db",
    "settings", "command",
}  # fmt: skip


@dataclass
class ComparisonResults:
    """All that a comparison has found so far.

    Arguments
    ---------
    comparison : dict
        The keys of the comparison file with their values; ``settings``, the
        leaf's that hold for all arms; ``command``.
    jobs : list of JobResult
        The finished ones.
    systems : dict
        ``{"noisy" or "teacher": {"valid" or "test": {utterance: {metric:
        value}}}}``; empty until the teacher is tested.
    against : str, optional
        The arm that the report's differences are to, in place of the
        comparison's baseline.

    Raises
    ------
    UserError
        If the comparison lacks a key or the arm, or a job is not one of its
        jobs, comes twice, or was scored on other utterances than the rest.
    """

    comparison: dict
    jobs: list
    systems: dict = field(default_factory=dict)
    against: str | None = None

    def __post_init__(self):
        _require_keys(self.comparison)
        _require_arm(
            self.against,
            [a for a in self.comparison["arms"] if self.seeds_of(a)],
        )
        _require_planned(self)
        _require_distinct(self.jobs)
        for split in SPLITS:
            _require_same_utterances(split, self.scored(split))

    @classmethod
    def load(cls, folder, against: str | None = None) -> "ComparisonResults":
        """Read a comparison's folder; jobs and systems may be missing yet."""
        folder = Path(folder)
        comparison = load_json(folder / COMPARISON_FILE)
        paths = sorted((folder / JOBS_FOLDER).glob("*.json"))
        systems = folder / SYSTEMS_FILE
        return cls(
            comparison,
            [JobResult.load(path) for path in paths],
            load_json(systems) if systems.exists() else {},
            against,
        )

    @property
    def all_arms(self) -> list:
        """The names of the arms; the differences are to the first."""
        first = self.against or self.comparison["baseline"]
        others = [name for name in self.comparison["arms"] if name != first]
        return [first, *others]

    @property
    def arms(self) -> list:
        """Those of them that are reported, not tuned only."""
        return [arm for arm in self.all_arms if self.seeds_of(arm)]

    @property
    def report_name(self) -> str:
        """The name of the report's files without their suffix."""
        return f"report-vs-{self.against}" if self.against else "report"

    def seeds_of(self, arm: str) -> list:
        """Return the seeds from which an arm is reported."""
        # A folder of before arms could have seeds of their own has no such key.
        own = self.comparison.get("arm_seeds", {})
        return own.get(arm, self.comparison["seeds"])

    def reported(self, arm: str) -> dict:
        """Return ``{seed: JobResult}`` of an arm's finished reported jobs."""
        found = {
            job.seed: job
            for job in self.jobs
            if job.purpose == REPORT and job.arm == arm
        }
        return {
            seed: found[seed]
            for seed in self.comparison["seeds"]
            if seed in found
        }

    def tuning(self, arm: str) -> list:
        """Return the finished jobs that chose an arm's setting."""
        return [
            job for job in self.jobs if job.purpose == TUNING and job.arm == arm
        ]

    def missing(self) -> list:
        """Return what the report still lacks, a line each."""
        lines = [
            f"scores of the {system}"
            for system in SYSTEMS
            if system not in self.systems
        ]
        return lines + [
            f"{arm}, seed {seed}"
            for arm in self.arms
            for seed in self.seeds_of(arm)
            if seed not in self.reported(arm)
        ]

    def scored(self, split):
        """Yield (label, scores by utterance) of all that was scored."""
        for name, scores in self.systems.items():
            yield f"the {name}", scores[split]
        for job in self.jobs:
            if split == "valid" or job.purpose == REPORT:
                yield job.label, getattr(job, split)


def _require_keys(comparison):
    missing = sorted(KEYS - set(comparison))
    if missing:
        raise UserError(
            f"{COMPARISON_FILE} must have the keys {sorted(KEYS)}, got none of "
            f"the name {', '.join(missing)}; run the comparison's command"
        )


def _require_arm(against, arms):
    if against is not None and against not in arms:
        raise UserError(
            f"--baseline must be an arm of the comparison, got {against!r}; "
            f"name one of {', '.join(arms)}"
        )


def _require_planned(results):
    surplus = [
        f"{job.label} ({job.purpose})"
        for job in results.jobs
        if not _is_planned(results, job)
    ]
    if surplus:
        raise UserError(
            "the jobs must be of the comparison's arms and seeds, got others; "
            "name them in the comparison file again, or remove their files:\n"
            + listing(surplus)
        )


def _is_planned(results, job):
    seeds = [results.comparison["tuning_seed"]]
    if job.purpose == REPORT:
        seeds = results.seeds_of(job.arm)
    return job.arm in results.comparison["arms"] and job.seed in seeds


def _require_distinct(jobs: Iterable):
    reported = [job.label for job in jobs if job.purpose == REPORT]
    twice = sorted({name for name in reported if reported.count(name) > 1})
    if twice:
        raise UserError(
            "a reported job must have one result, got several with different "
            "settings; remove the files of all but one:\n" + listing(twice)
        )


def _require_same_utterances(split, scored):
    first = None
    for label, scores in scored:
        first = first or (label, set(scores))
        differing = first[1] ^ set(scores)
        if differing:
            raise UserError(
                f"all jobs must be scored on the same {split} utterances, got "
                f"{len(differing)} that only one of {first[0]} and {label} "
                f"has; repeat the jobs on one data set:\n"
                + listing(sorted(differing))
            )
