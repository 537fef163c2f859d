"""A comparison: its command, its arms, its jobs, its report."""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from statistics import fmean

from speechbrain_dfkd.comparison.cluster import ClusterJob, require_cluster
from speechbrain_dfkd.comparison.jobs import (
    JobProcess,
    RunningJob,
    run_side_by_side,
    shared_environment,
    visible_cards,
)
from speechbrain_dfkd.comparison.plan import Plan, read_plan
from speechbrain_dfkd.comparison.plot import require_matplotlib
from speechbrain_dfkd.comparison.report import write_comparison_report
from speechbrain_dfkd.comparison.results import (
    COMPARISON_FILE,
    JOB_FILE,
    RUNS_FOLDER,
    SPLITS,
    SYSTEMS,
    TEACHER_FOLDER,
    ComparisonResults,
    Job,
    JobResult,
    load_jobs,
    load_json,
    save_json,
)
from speechbrain_dfkd.comparison.tuning import known_jobs, number_of_jobs
from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.experiment import check_leaf
from speechbrain_dfkd.folder_lock import hold_folder
from speechbrain_dfkd.run_folder import (
    RESULTS_FILE,
    decisive_settings,
    differing,
)
from speechbrain_dfkd.settings.command_line import (
    command_text,
    exit_code,
    read_command,
)
from speechbrain_dfkd.settings.configuration import spelled_out
from speechbrain_dfkd.settings.keys import (
    DFKD_KEYS,
    FIXED_IN_COMPARISON,
    OWN_OF_A_TRAINING,
    TOLERATED,
    TUNABLE,
)
from speechbrain_dfkd.settings.tree import merged, one_line, parse_tree
from speechbrain_dfkd.settings.words import (
    asks_for_help,
    find_settings_file,
    split_command_line,
)
from speechbrain_dfkd.teacher.frozen import teacher_roles

LOG_FILE = "job.log"


@dataclass(frozen=True)
class BaseCommand:
    """A command line of ``train_dfkd.py``, to which an arm adds its own."""

    leaf: str
    options: list  # words for SpeechBrain's own options
    overrides: Mapping  # keys of the leaf and their values as YAML nodes

    def chooses_cards(self) -> bool:
        """Tell whether its options say which cards a training uses."""
        text = f"{' '.join(self.options)} "
        named = "--device " in text and "--device cuda " not in text
        return named or "--data_parallel_backend" in text

    def argv(self, *changes: Mapping) -> list:
        """Return the words after the script's name; later changes win.

        A mapping changes a mapping key by key.
        """
        values, folder = self.overrides, Path(self.leaf).parent
        for change in changes:
            values = merged(values, spelled_out(change, folder))
        words = [self.leaf, *self.options]
        for key, value in values.items():
            words += [f"--{key}", one_line(value)]
        return words


def read_base_command(argv: list, recipe_folder: Path) -> BaseCommand:
    """Read a leaf and what follows it; refuse what cannot hold for all arms."""
    leaf, run_opts, overrides = split_command_line(argv)
    leaf = find_settings_file(leaf, recipe_folder)
    overrides = parse_tree(overrides, "the command line")
    overrides = spelled_out(overrides, leaf.parent)
    looks = ("debug", "test_only")  # at a run, without results
    unfit = [f"--{key}" for key in looks if getattr(run_opts, key)]
    unfit += [f"--{key}" for key in sorted(OWN_OF_A_TRAINING & set(overrides))]
    if unfit:
        raise UserError(
            f"the command line must hold for all trainings of a comparison, "
            f"got {', '.join(unfit)}; drop it (seeds are in the comparison "
            f"file, folders below --results_folder)"
        )
    if "WORLD_SIZE" in os.environ:
        raise UserError(
            "a comparison must be started without torchrun, got WORLD_SIZE in "
            "the environment; side_by_side in the comparison file says how "
            "many trainings run at a time"
        )
    options = ["--noprogressbar"]  # each training writes to a file
    for key in sorted(run_opts.overridden_args - {"noprogressbar"}):
        values = run_opts[key]
        values = values if isinstance(values, list) else [values]
        options += [f"--{key}", *(str(v) for v in values if v is not True)]
    return BaseCommand(str(leaf), options, overrides)


def check_arms(plan: Plan, base: BaseCommand, recipe_folder: Path) -> dict:
    """Return each arm's settings but its seed; make its objects once.

    An arm that cannot be used is named, or two that are the same.
    """
    settings = {}
    for arm, overrides in plan.arms.items():
        try:
            settings[arm] = _settings_of(base, overrides, recipe_folder)
        except UserError as error:
            raise UserError(f"arm {arm}: {error}") from error
    for one, other in combinations(settings, 2):
        if settings[one] == settings[other]:
            raise UserError(
                f"arms must differ from each other, got the same settings for "
                f"{one} and {other}; drop one of them"
            )
    return settings


def _settings_of(
    base: BaseCommand, overrides: Mapping, recipe_folder: Path
) -> dict:
    """Refuse now what a job of the arm would be refused for hours later."""
    # Making the objects makes the folders that they write to.
    with tempfile.TemporaryDirectory() as folder:
        argv = base.argv(overrides, {"output_folder": folder})
        with redirect_stdout(None):  # what arms share was announced
            command = read_command(argv, recipe_folder, DFKD_KEYS)
        hparams = command.configuration.build()
        check_leaf(hparams)
    # No weight gives its gradient, which is zero, a ratio to another.
    if hparams["kd_weight"] > 0 and hparams["kd"]["loss"] is None:
        raise UserError(
            f"kd_weight must be 0 where nothing is distilled, got "
            f"{hparams['kd_weight']} with the objective "
            f"{hparams['kd']['name']}; let the arm set kd_weight: 0 in place "
            f"of kd"
        )
    plain = command.configuration.settings()
    settings = decisive_settings(command.configuration)
    settings |= {key: plain[key] for key in FIXED_IN_COMPARISON}
    own = ("seed", "__set_seed")  # of each job
    return {key: value for key, value in settings.items() if key not in own}


def held_settings(settings: dict, plan: Plan) -> dict:
    """Return what is the same in all arms' settings and not tuned, in brief."""
    tuned = TUNABLE if plan.learning_rates else ()
    # Arms with a teacher first: a checkpoint says in place of the setting which
    # network it is, but an arm that needs no teacher does not look at it.
    first, *others = sorted(
        settings.values(), key=lambda s: not teacher_roles(s)
    )
    common = {
        key: value.get("name") if isinstance(value, dict) else value
        for key, value in first.items()
        if key not in tuned
        and (key == "teacher" or all(o.get(key) == value for o in others))
    }
    brief = common.items()
    return {k: v for k, v in brief if v is not None and type(v) is not list}


def refuse_changed_arms(before: dict, now: dict, finished: set) -> None:
    """Refuse arms that have results of other settings; ``{arm: settings}``."""
    changes = [
        f"{arm}: {line}"
        for arm in sorted(finished & before.keys() & now.keys())
        for line in differing(before[arm], now[arm], TOLERATED)
    ]
    if changes:
        raise UserError(
            f"an arm must keep its settings once it has results, got others:\n"
            f"{listing(changes)}\ngive them back, call the arm or the "
            f"comparison by another name, or delete the arm's results"
        )


class Comparison:
    """The jobs of a comparison in its folder."""

    def __init__(self, argv: list, recipe_folder: Path):
        self.recipe_folder = recipe_folder
        self.plan = read_plan(find_settings_file(argv[0], recipe_folder))
        self.base = read_base_command(argv[1:], recipe_folder)
        self.command = command_text(recipe_folder / "compare.py", argv)
        script = f"compare.py {argv[0]}"
        words = self.base.argv()
        command = read_command(words, recipe_folder, DFKD_KEYS, script)
        results_folder = command.configuration.settings()["results_folder"]
        self.folder = Path(results_folder, f"comparison-{self.plan.name}")
        require_cluster(self.plan.cluster)
        self.results = []  # of the finished jobs

    def check(self) -> None:
        """Check all arms, also against the results that are there."""
        self.results = load_jobs(self.folder)
        settings = check_arms(self.plan, self.base, self.recipe_folder)
        path = self.folder / COMPARISON_FILE
        before = load_json(path) if path.exists() else {"arm_settings": {}}
        finished = {result.arm for result in self.results}
        refuse_changed_arms(before["arm_settings"], settings, finished)
        now = {
            **self.plan.as_json(),
            "teacher": before.get("teacher"),
            "settings": held_settings(settings, self.plan),
            "arm_settings": settings,
            "command": self.command,
        }
        ComparisonResults(now, self.results)  # refuses those of other arms
        known_jobs(self.plan, self.results)  # refuses those of other settings
        save_json(path, now)
        self._drop_checkpoints()  # a kill may have come before

    def run(self) -> None:
        """Do what has no results yet, the teacher first."""
        if self._unfinished() or not self._teacher_results.exists():
            self._teach()
            self._train()

    @property
    def _teacher_results(self) -> Path:
        return self.folder / TEACHER_FOLDER / RESULTS_FILE

    def _teach(self) -> None:
        """Prepare the data, train the teacher unless it was, and test it."""
        folder = self._teacher_results.parent
        log = folder / LOG_FILE
        print(f"Preparing data and teacher; log: {log}", flush=True)
        scored = {"score_systems": [*SYSTEMS], "score_splits": [*SPLITS]}
        self._start("the teacher", folder, {}, scored).wait()
        self._keep_teacher(load_json(self._teacher_results))

    def _keep_teacher(self, results: dict) -> None:
        """Refuse another teacher than that of the finished jobs."""
        path = self.folder / COMPARISON_FILE
        comparison = load_json(path)
        before, own = comparison["teacher"], results["teacher_fingerprint"]
        if self.results and before != own:
            self._teacher_results.unlink()
            # None is on record where comparison.json was lost.
            found = before[:12] if before else "an unknown one"
            raise UserError(
                f"the teacher must stay the same within a comparison, got "
                f"{own[:12]} where {self.folder} has results, those of "
                f"{found}; give back that teacher, call the comparison by "
                f"another name, or move its {RUNS_FOLDER}/ away"
            )
        save_json(path, {**comparison, "teacher": own})

    def _start(
        self, label: str, folder: Path, variables: Mapping, *changes: Mapping
    ) -> RunningJob:
        """Start the recipe's script, which fills a run's folder."""
        words = self.base.argv(*changes, {"output_folder": str(folder)})
        words = [str(self.recipe_folder / "train_dfkd.py"), *words]
        job = label, words, folder / LOG_FILE
        if self.plan.cluster:
            return ClusterJob(*job, self.plan.cluster)
        return JobProcess(*job, variables)

    def _cards(self) -> list:
        """Return the cards to spread the jobs over, [None] for none."""
        if self.plan.cluster or self.base.chooses_cards():
            return [None]
        return visible_cards() or [None]

    def _train(self) -> None:
        """Run every job that has no result, several at a time."""
        total, side_by_side = number_of_jobs(self.plan), self.plan.side_by_side
        cards, done = self._cards(), len(self.results)
        at_a_time = side_by_side * len(cards)
        print(f"Jobs: {total}, {done} of them done before", flush=True)
        began, took = {}, []

        def tell(event: str) -> None:
            print(f"[{len(self.results)}/{total}] {event}", flush=True)

        def start(job: Job, card: str | None) -> RunningJob:
            on = f" on card {card}" if len(cards) > 1 else ""
            tell(f"started  {job.name}{on}")
            began[job.name] = time.monotonic()
            folder = self._run_folder(job)
            save_json(folder / JOB_FILE, vars(job))
            own = {"seed": job.seed, "score_systems": ["student"]}
            own["score_splits"] = [*job.splits]
            changes = self.plan.arms[job.arm], job.setting, own
            variables = shared_environment(at_a_time, card)
            return self._start(job.name, folder, variables, *changes)

        def finish(job: Job) -> None:
            self.results.append(JobResult.load(self._run_folder(job)))
            self._drop_checkpoints()
            took.append(time.monotonic() - began[job.name])
            left = fmean(took) * (total - len(self.results)) / at_a_time
            last, left = (timedelta(seconds=round(s)) for s in (took[-1], left))
            tell(f"finished {job.name} in {last}; about {left} left")

        run_side_by_side(self._unfinished, start, finish, side_by_side, cards)

    def _unfinished(self) -> dict:
        finished = {result.name for result in self.results}
        jobs = known_jobs(self.plan, self.results)
        return {job.name: job for job in jobs if job.name not in finished}

    def _run_folder(self, job: Job) -> Path:
        return self.folder / RUNS_FOLDER / job.name

    def _drop_checkpoints(self) -> None:
        """Remove the checkpoints of finished jobs: they take the room."""
        for result in self.results:
            save = self._run_folder(result) / "save"
            if save.exists():
                shutil.rmtree(save)


def compare(argv: list, recipe_folder: str | Path) -> int:
    """Train all arms of a comparison, print its report, return the exit code.

    ``argv`` is a comparison file, then what ``train_dfkd.py`` takes. What is
    finished is kept and not done again.
    """
    return exit_code(_compare, argv, recipe_folder)


def _compare(argv: list, recipe_folder: Path) -> None:
    if asks_for_help(argv):  # the answer ends the script
        words, script = ["--help", *argv[1:]], "compare.py COMPARISON"
        read_command(words, recipe_folder, DFKD_KEYS, script)
    if len(argv) < 2 or argv[1].startswith("-"):
        raise UserError(
            "compare.py must be given a comparison file and a dfkd leaf, got "
            f"{' '.join(argv) or 'nothing'}; for example "
            "hparams/comparisons/objectives.yaml hparams/dccrn_dfkd.yaml"
        )
    require_matplotlib()
    comparison = Comparison(argv, recipe_folder)
    with hold_folder(comparison.folder, waits=False):
        comparison.check()
        comparison.run()
        print(f"\n{write_comparison_report(comparison.folder)}", flush=True)
    print(f"Report: {comparison.folder}/report.md, report.csv, report.png")
