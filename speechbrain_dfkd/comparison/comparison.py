"""The jobs of a comparison in its folder: checked, run, and kept."""

import shlex
import shutil
import sys
from pathlib import Path

from speechbrain_dfkd.command_line import DFKD_KEYS, read_command
from speechbrain_dfkd.comparison.arms import (
    check_arms,
    held_settings,
    refuse_changed_arms,
)
from speechbrain_dfkd.comparison.base_command import BaseCommand
from speechbrain_dfkd.comparison.comparison_results import (
    COMPARISON_FILE,
    SYSTEMS_FILE,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.job_process import (
    DISTIL,
    DISTIL_AND_TEST,
    OUTCOME_FILE,
    TEACH,
)
from speechbrain_dfkd.comparison.job_results import (
    JOBS_FOLDER,
    REPORT,
    JobResult,
    load_json,
    save_json,
)
from speechbrain_dfkd.comparison.jobs import JobProcess, run_side_by_side
from speechbrain_dfkd.comparison.plan import Plan
from speechbrain_dfkd.comparison.progress import Progress
from speechbrain_dfkd.comparison.tuning import Job, known_jobs, number_of_jobs
from speechbrain_dfkd.errors import UserError

RUNS_FOLDER = "runs"
LOG_FILE = "job.log"


class Comparison:
    """The jobs of a comparison in its folder.

    Arguments
    ---------
    plan : Plan
        What is compared.
    base : BaseCommand
        What holds for all arms.
    recipe_folder : Path
        Of the script.
    """

    def __init__(self, plan: Plan, base: BaseCommand, recipe_folder: Path):
        self.plan, self.base, self.recipe_folder = plan, base, recipe_folder
        command = read_command(base.argv(), recipe_folder, DFKD_KEYS)
        results_folder = command.configuration.settings()["results_folder"]
        self.folder = Path(results_folder, f"comparison-{plan.name}")
        self.results = []  # of the finished jobs

    def check(self) -> None:
        """Check all arms, also against the results that are there.

        Raises
        ------
        UserError
            For what cannot be trained, or does not belong to the results.
        """
        paths = sorted((self.folder / JOBS_FOLDER).glob("*.json"))
        self.results = [JobResult.load(path) for path in paths]
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
            "command": self._as_text("compare.py", sys.argv[1:]),
        }
        ComparisonResults(now, self.results)  # refuses those of other arms
        known_jobs(self.plan, self.results)  # refuses those of other settings
        save_json(path, now)
        self._drop_checkpoints()  # a kill may have come before

    def is_finished(self) -> bool:
        """Tell whether all results are there."""
        return not self._unfinished() and (self.folder / SYSTEMS_FILE).exists()

    def teach(self) -> None:
        """Prepare the data, train the teacher unless it was, and test it.

        Raises
        ------
        UserError
            If that fails.
        """
        folder = self.folder / "teacher"
        # Neither a weight of 0 nor an objective without teacher counts here.
        changes = {"output_folder": str(folder), "kd_weight": 1.0}
        log = folder / LOG_FILE
        print(f"Preparing data and teacher; log: {log}", flush=True)
        words = [TEACH, self.recipe_folder, *self.base.argv(changes)]
        JobProcess("the teacher", words, log).wait()
        outcome = load_json(folder / OUTCOME_FILE)
        self._keep_teacher(outcome["fingerprint"])
        save_json(self.folder / SYSTEMS_FILE, outcome["systems"])

    def _keep_teacher(self, own):
        path = self.folder / COMPARISON_FILE
        comparison = load_json(path)
        if self.results:
            _refuse_other_teacher(self.folder, comparison["teacher"], own)
        save_json(path, {**comparison, "teacher": own})

    def train(self) -> None:
        """Run every job that has no result, several at a time.

        Raises
        ------
        UserError
            If one fails; the others can go on later.
        """
        total = number_of_jobs(self.plan)
        n_processes = self.plan.side_by_side
        progress = Progress(total, len(self.results), n_processes)

        def start(job):
            progress.started(job.name)
            return self._start(job)

        def finish(job):
            self._finish(job)
            progress.finished(job.name)

        run_side_by_side(self._unfinished, start, finish, n_processes)

    def _unfinished(self):
        jobs = known_jobs(self.plan, self.results)
        return {
            job.name: job
            for job in jobs
            if not job.result_path(self.folder).exists()
        }

    def _run_folder(self, job):
        return self.folder / RUNS_FOLDER / job.name

    def _argv(self, job):
        own = {"seed": job.seed, "output_folder": str(self._run_folder(job))}
        return self.base.argv(self.plan.arms[job.arm], job.setting, own)

    def _start(self, job: Job):
        what = DISTIL_AND_TEST if job.purpose == REPORT else DISTIL
        return JobProcess(
            job.name,
            [what, self.recipe_folder, *self._argv(job)],
            self._run_folder(job) / LOG_FILE,
            self.plan.side_by_side,
        )

    def _finish(self, job: Job):
        """Keep a job's result and its student, but no checkpoints."""
        folder = self._run_folder(job)
        result = JobResult(
            **vars(job),
            **load_json(folder / OUTCOME_FILE),
            command=self._as_text("train_dfkd.py", self._argv(job)),
        )
        result.save(self.folder)
        self.results.append(result)
        self._drop_checkpoints()

    def _drop_checkpoints(self):
        """Remove the checkpoints of finished jobs: they take the room."""
        for path in (self.folder / JOBS_FOLDER).glob("*.json"):
            save = self.folder / RUNS_FOLDER / path.stem / "save"
            if save.exists():
                shutil.rmtree(save)

    def _as_text(self, script, words):
        path = (self.recipe_folder / script).resolve()
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return shlex.join(["python", str(path), *words])


def _refuse_other_teacher(folder, before, own):
    """Keep apart the results of two teachers, given by their fingerprints."""
    if before == own:
        return
    # No teacher is on record where comparison.json was lost.
    found = f"those of {before[:12]}" if before else "those of an unknown one"
    raise UserError(
        f"the teacher must stay the same within a comparison, got {own[:12]} "
        f"where {folder} has results, {found}; give back that teacher, call "
        f"the comparison by another name, or move its jobs/*.json away"
    )
