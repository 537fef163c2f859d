"""What the runs of a comparison left, and that it belongs together."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from speechbrain_dfkd.comparison.plan import Plan
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
# What the report reads of comparison.json; not where its jobs ran.
_KEYS = {*(k.name for k in fields(Plan)), "settings", "command"} - {"cluster"}
# What it reads of a training's results, beside the scores.
_MEASURED = ("steps", "seconds_per_step", "command", "kd_weight")


def save_json(path: Path, content: dict) -> None:
    """Write ``content`` to ``path``, whole or not at all; NaN is refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def load_json(path: Path, keys: Iterable = ()) -> dict:
    """Read a mapping with ``keys``; a ``UserError`` where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} must be a JSON file of a comparison, got {error}; run the "
            "comparison's command, or name its folder"
        ) from error
    _require_keys(path, content, keys)
    return content


def _require_keys(path: Path, content: object, keys: Iterable) -> None:
    found = set(content) if isinstance(content, dict) else set()
    if not found.issuperset(keys):
        raise UserError(
            f"{path} must have the keys {sorted(keys)}, got {sorted(found)}; "
            f"remove it, and run the comparison's command"
        )


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
        tuned = [f"{k}_{value}" for k, value in sorted(self.setting.items())]
        return "-".join([self.arm, *tuned, f"seed_{self.seed}"])

    @property
    def label(self) -> str:
        """The job for a reader, as ``dfkd, seed 1``."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def splits(self) -> tuple:
        """What it is scored on; to choose a setting takes no test set."""
        return SPLITS if self.purpose == REPORT else SPLITS[:1]


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

    @classmethod
    def load(cls, folder: Path) -> "JobResult":
        """Read a finished training's folder."""
        path, keys = folder / RESULTS_FILE, [key.name for key in fields(Job)]
        job = load_json(folder / JOB_FILE, keys)
        job = {key: job[key] for key in keys}
        results = load_json(path, ("scores", *_MEASURED))
        scores = results["scores"].get("student")
        _require_keys(path, scores, Job(**job).splits)
        measured = {key: results[key] for key in _MEASURED}
        return cls(**job, **{"test": {}, **scores}, **measured)


def load_jobs(folder: Path) -> list[JobResult]:
    """Return the results of the finished jobs in a comparison's folder."""
    paths = sorted((folder / RUNS_FOLDER).glob(f"*/{RESULTS_FILE}"))
    folders = [path.parent for path in paths]
    return [JobResult.load(run) for run in folders if (run / JOB_FILE).exists()]


@dataclass
class ComparisonResults:
    """All that a comparison has found so far; refuses what is not its own."""

    comparison: dict  # of comparison.json
    jobs: list[JobResult]  # the finished ones
    # Scores of noisy input and teacher by system, split, utterance, metric.
    systems: dict = field(default_factory=dict)
    against: str | None = None  # an arm in the baseline's place

    def __post_init__(self):
        arms = [arm for arm in self.comparison["arms"] if self.seeds_of(arm)]
        if self.against is not None and self.against not in arms:
            raise UserError(
                "--baseline must be an arm of the comparison, got "
                f"{self.against!r}; name one of {', '.join(arms)}"
            )
        self._require_planned_jobs()
        self._require_same_utterances()

    @classmethod
    def load(
        cls, folder: Path, against: str | None = None
    ) -> "ComparisonResults":
        """Read a comparison's folder; jobs and systems may be missing yet."""
        comparison = load_json(folder / COMPARISON_FILE, _KEYS)
        teacher = folder / TEACHER_FOLDER / RESULTS_FILE
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
        jobs = [job for job in self.jobs if job.purpose == REPORT]
        found = {job.seed: job for job in jobs if job.arm == arm}
        seeds = self.comparison["seeds"]
        return {seed: found[seed] for seed in seeds if seed in found}

    def tuning(self, arm: str) -> list:
        """Return the finished jobs that chose an arm's setting."""
        tuning = [job for job in self.jobs if job.purpose == TUNING]
        return [job for job in tuning if job.arm == arm]

    def missing(self) -> list:
        """Return what the report still lacks, a line each."""
        systems = [name for name in SYSTEMS if name not in self.systems]
        return [f"scores of the {name}" for name in systems] + [
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
            if split in job.splits:
                yield job.label, getattr(job, split)

    def _require_planned_jobs(self) -> None:
        arms, seed = self.comparison["arms"], self.comparison["tuning_seed"]
        planned = [(a, s, REPORT) for a in arms for s in self.seeds_of(a)]
        trials = [(arm, seed, TUNING) for arm in arms]
        surplus = []
        for job in self.jobs:
            key = (job.arm, job.seed, job.purpose)
            if key in planned:
                planned.remove(key)  # it has one result
            elif key not in trials:
                surplus.append(f"{job.label} ({job.purpose})")
        if surplus:
            raise UserError(
                "the jobs must be of the comparison's arms and seeds, each "
                "reported once, got others; name them in the comparison file "
                f"again, or remove their folders in {RUNS_FOLDER}/:\n"
                f"{listing(surplus)}"
            )

    def _require_same_utterances(self) -> None:
        for split in SPLITS:
            (first, clips), *others = [*self.scored(split)] or [("", {})]
            for label, scores in others:
                if differing := clips.keys() ^ scores.keys():
                    raise UserError(
                        f"all jobs must be scored on the same {split} "
                        f"utterances, got {len(differing)} that only one of "
                        f"{first} and {label} has; repeat the jobs on one data "
                        f"set:\n{listing(sorted(differing))}"
                    )
