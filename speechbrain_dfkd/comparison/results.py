"""What the runs of a comparison left, and that it belongs together."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import write_atomically
from speechbrain_dfkd.run_folder import RESULTS_FILE

COMPARISON_FILE = "comparison.json"
# Folders of runs: of the trainings, and of the teacher's.
RUNS_FOLDER, TEACHER_FOLDER = "runs", "teacher"
# Beside a training's results: the job that it does.
JOB_FILE = "job.json"
REPORT, TUNING = "report", "tuning"
SPLITS = ("valid", "test")
SYSTEMS = ("noisy", "teacher")
# What the report reads of comparison.json.
KEYS = {
    "name", "baseline", "arms", "seeds", "arm_seeds", "tuning_seed", "tune_on",
    "side_by_side", "gate", "confidence", "bootstrap_draws", "snr_edges_db",
    "settings", "command",
}  # fmt: skip


def save_json(path, content) -> None:
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


@dataclass
class Job:
    """One training of one arm."""

    arm: str
    seed: int
    purpose: str
    setting: dict  # what is tuned of the leaf

    @property
    def name(self) -> str:
        """The name of its files and folder, a job's alone."""
        tuned = [
            f"{key}_{value}" for key, value in sorted(self.setting.items())
        ]
        return "-".join([self.arm, *tuned, f"seed_{self.seed}"])

    @property
    def label(self) -> str:
        """The job for a reader, as ``dfkd, seed 1``."""
        return f"{self.arm}, seed {self.seed}"


@dataclass
class JobResult(Job):
    """What one training left: the scores of its student."""

    # Scores by utterance and metric, None where it is undefined.
    valid: dict
    test: dict  # empty where the purpose is tuning
    steps: int
    seconds_per_step: float
    command: str
    kd_weight: float | None  # measured for a ratio of gradients

    def __post_init__(self):
        if self.purpose not in (REPORT, TUNING):
            raise UserError(
                f"purpose must be {REPORT} or {TUNING}, got {self.purpose!r} "
                f"for {self.label}; correct its {JOB_FILE}"
            )

    @classmethod
    def load(cls, folder: Path) -> "JobResult":
        """Read a finished training's folder."""
        path, results_path = folder / JOB_FILE, folder / RESULTS_FILE
        job, results = load_json(path), load_json(results_path)
        known = {entry.name for entry in fields(Job)}
        _require_keys(path, job, known, exactly=True)
        measured = {"steps", "seconds_per_step", "command", "kd_weight"}
        _require_keys(results_path, results, measured | {"scores"})
        scores = results["scores"].get("student", {})
        splits = SPLITS if job["purpose"] == REPORT else SPLITS[:1]
        _require_keys(results_path, scores, set(splits))
        scores = {split: scores.get(split, {}) for split in SPLITS}
        return cls(**job, **scores, **{k: results[k] for k in measured})


def _require_keys(path, content, known, exactly=False):
    found = set(content) if isinstance(content, dict) else set()
    if found != known if exactly else not known <= found:
        raise UserError(
            f"{path} must have the keys {sorted(known)}, got {sorted(found)}; "
            "remove its folder, and the comparison's command repeats the job"
        )


def load_jobs(folder) -> list:
    """Return the results of the finished jobs in a comparison's folder."""
    paths = Path(folder, RUNS_FOLDER).glob(f"*/{RESULTS_FILE}")
    return [JobResult.load(path.parent) for path in sorted(paths)]


@dataclass
class ComparisonResults:
    """All that a comparison has found so far; refuses what is not its own."""

    comparison: dict  # of comparison.json, at least KEYS
    jobs: list[JobResult]  # the finished ones
    # Scores of noisy input and teacher by system, split, utterance, metric.
    systems: dict = field(default_factory=dict)
    against: str | None = None  # an arm in the baseline's place

    def __post_init__(self):
        missing = sorted(KEYS - set(self.comparison))
        if missing:
            raise UserError(
                f"{COMPARISON_FILE} must have the keys {sorted(KEYS)}, got none "
                f"of the name {', '.join(missing)}; run the comparison's command"
            )
        arms = [arm for arm in self.comparison["arms"] if self.seeds_of(arm)]
        if self.against is not None and self.against not in arms:
            raise UserError(
                "--baseline must be an arm of the comparison, got "
                f"{self.against!r}; name one of {', '.join(arms)}"
            )
        self._require_planned_jobs()
        for split in SPLITS:
            _require_same_utterances(split, self.scored(split))

    @classmethod
    def load(cls, folder, against: str | None = None) -> "ComparisonResults":
        """Read a comparison's folder; jobs and systems may be missing yet."""
        comparison = load_json(Path(folder, COMPARISON_FILE))
        teacher = Path(folder, TEACHER_FOLDER, RESULTS_FILE)
        systems = load_json(teacher)["scores"] if teacher.exists() else {}
        return cls(comparison, load_jobs(folder), systems, against)

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
        return self.comparison["arm_seeds"].get(arm, self.comparison["seeds"])

    def reported(self, arm: str) -> dict:
        """Return ``{seed: JobResult}`` of an arm's finished reported jobs."""
        found = {
            job.seed: job
            for job in self.jobs
            if job.purpose == REPORT and job.arm == arm
        }
        seeds = self.comparison["seeds"]
        return {seed: found[seed] for seed in seeds if seed in found}

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

    def scored(self, split: str) -> Iterator[tuple]:
        """Yield (label, scores by utterance) of all that was scored."""
        for name, scores in self.systems.items():
            yield f"the {name}", scores[split]
        for job in self.jobs:
            if split == "valid" or job.purpose == REPORT:
                yield job.label, getattr(job, split)

    def _require_planned_jobs(self):
        surplus = [
            f"{job.label} ({job.purpose})"
            for job in self.jobs
            if not self._is_planned(job)
        ]
        if surplus:
            raise UserError(
                "the jobs must be of the comparison's arms and seeds, got "
                "others; name them in the comparison file again, or remove "
                f"their folders in {RUNS_FOLDER}/:\n{listing(surplus)}"
            )
        reported = [job.label for job in self.jobs if job.purpose == REPORT]
        twice = sorted({name for name in reported if reported.count(name) > 1})
        if twice:
            raise UserError(
                "a reported job must have one result, got several with "
                "different settings; remove the folders of all but one:\n"
                + listing(twice)
            )

    def _is_planned(self, job):
        seeds = [self.comparison["tuning_seed"]]
        if job.purpose == REPORT:
            seeds = self.seeds_of(job.arm)
        return job.arm in self.comparison["arms"] and job.seed in seeds


def _require_same_utterances(split: str, scored: Iterable[tuple]):
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
