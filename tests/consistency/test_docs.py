"""README.md and docs/ lead somewhere, stay short, and their examples run."""

import csv
import importlib.util
import json
import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from cached_run import Run, write_recordings
from small_brain import Filter, fit, make_brain
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from speechbrain_dfkd import FrozenTeacher
from speechbrain_dfkd.evaluation import metrics, scoring
from speechbrain_dfkd.models import DCCRN, Enhanced
from speechbrain_dfkd.settings.command_line import read_command
from speechbrain_dfkd.settings.keys import DFKD_KEYS
from speechbrain_dfkd.teacher.frozen import CachedTeacher

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DESIGN = ROOT / "docs/design.md"
PAGES = sorted(
    [README, *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*/README.md")]
)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """Return what GitHub makes of a page's headings."""
    headings = re.findall(
        r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE
    )
    words = (re.sub(r"[^\w\- ]", "", text.lower()) for text in headings)
    return [text.replace(" ", "-") for text in words]


def block(page, heading, language):
    """Return the first block of a language below a heading."""
    _, found, text = page.read_text().partition(f"\n{heading}\n")
    assert found, heading
    return re.search(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)[1]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchors(target).count(anchor) == 1, link


def test_every_page_is_in_the_index_of_the_readme():
    links = {
        link.partition("#")[0] for link in LINK.findall(README.read_text())
    }
    pages = {name(path) for path in (ROOT / "docs").iterdir()}
    assert pages <= links


def test_readme_takes_ten_minutes():
    assert len(README.read_text().splitlines()) <= 250


def test_design_names_every_folder_of_the_package():
    rooms = DESIGN.read_text().split("## The rooms")[1].split("\n## ")[0]
    for module in sorted((ROOT / "speechbrain_dfkd").rglob("*.py")):
        folder = module.parent.name
        assert f"`{folder}/`" in rooms or f"`{folder}/" in rooms, module


def test_references_have_what_the_readme_cites():
    keys = re.findall(r"^@\w+\{(\w+),", README.read_text(), re.MULTILINE)
    known = (ROOT / "docs/references.bib").read_text()
    assert keys
    assert all(f"{{{key}," in known for key in keys)


def noisy_and_clean(seed):
    generator = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, 2000, generator=generator)
    return {"id": seed, "noisy_sig": clean + noise, "clean_sig": clean}


def network(seed):
    torch.manual_seed(seed)
    return DCCRN((1, 2), 1)


def run_the_brain_of_the_readme(teacher_seed):
    train_set = DataLoader(
        [noisy_and_clean(seed) for seed in range(4)],
        batch_size=2,
        collate_fn=PaddedBatch,
    )
    names = {
        "student": network(0),
        "teacher": network(teacher_seed),
        "opt_class": partial(torch.optim.Adam, lr=0.01),
        "epochs": 2,
        "train_set": train_set,
    }
    exec(block(README, "## DFKD in your own Brain", "python"), names)
    return names


def weights(model):
    return torch.cat(
        [weight.flatten() for weight in model.state_dict().values()]
    )


def test_the_brain_of_the_readme_follows_its_teacher():
    one, other = map(run_the_brain_of_the_readme, (1, 2))
    assert not weights(one["student"]).equal(weights(network(0)))
    assert not weights(one["student"]).equal(weights(other["student"]))
    assert weights(one["teacher"]).equal(weights(network(1)))
    trained = one["brain"].optimizer.param_groups[0]["params"]
    assert len(trained) == len(list(one["student"].parameters()))


def test_the_brain_of_the_readme_is_short():
    text = block(README, "## DFKD in your own Brain", "python")
    _, _, body = text.partition("class MyBrain")
    assert len([line for line in body.splitlines() if line.strip()]) <= 16


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return what reads a command with the leaves of a copied hparams/."""
    shutil.copytree(ROOT / "hparams", tmp_path / "hparams")
    leaf, recipe = (
        tmp_path / "hparams/dccrn_dfkd.yaml",
        ROOT / "recipes/VoiceBank",
    )
    monkeypatch.syspath_prepend(recipe)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def read(words):
        argv = [str(leaf), "--data_folder", str(tmp_path), *shlex.split(words)]
        return read_command(argv, recipe, DFKD_KEYS).configuration

    return read


@pytest.fixture
def one_worker(monkeypatch):
    """Score in one process, which waits for the next score."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(scoring, "IDLE_SECONDS", 300)


def test_an_objective_of_one_s_own_is_two_files(tmp_path, command, one_worker):
    section = "### An objective"
    module, file = (block(DESIGN, section, kind) for kind in ("python", "yaml"))
    (tmp_path / "my_losses.py").write_text(module)
    (tmp_path / "hparams/kd/waveform_error.yaml").write_text(file)
    configuration = command("--kd waveform_error --kd.power 2.0")
    run = Path(configuration.settings()["output_folder"]).name
    assert run.startswith("waveform_error")
    # An arm of a comparison names the file and its keys.
    arm = command("--kd '!include:kd/waveform_error.yaml {power: 2.0}'")
    assert arm.settings()["kd"] == configuration.settings()["kd"]
    objective = configuration.build()["modules"]["kd_loss"]
    student, teacher = torch.zeros(1, 4), torch.tensor([[1.0, 2.0, 3.0, 9.0]])
    loss, terms = objective(
        Enhanced(student, {}),
        Enhanced(teacher, {}),
        teacher,
        torch.tensor([0.75]),
    )
    assert loss.item() == pytest.approx((1 + 4 + 9) / 3)
    assert terms == {"l_waveform": loss}

    # It trains a student, its weight being measured and ramped.
    teacher = FrozenTeacher(Filter(seed=2))
    schedule = {"kd_gradient_ratio": 0.5, "kd_ramp": 0.5}
    brain = make_brain(tmp_path / "run", teacher, epochs=1, **schedule)
    brain.modules["kd_loss"] = objective
    stats = fit(brain).train_stats
    assert 0 < stats["l_waveform"] == stats["l_kd"]
    assert "l_waveform" in (tmp_path / "run/log.txt").read_text()
    # So it does with outputs of the teacher that are cached.
    cached = Run(tmp_path, write_recordings(tmp_path), kd={"loss": objective})
    assert isinstance(cached.prepare(), CachedTeacher)


def test_a_metric_of_one_s_own_is_a_function_and_a_row(
    tmp_path, command, one_worker, monkeypatch
):
    text = DESIGN.read_text().partition("### A metric\n")[2]
    function, row = re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)
    names = dict(vars(metrics))
    exec(function, names)
    ((name, metric),) = eval(f"{{{row}}}", names).items()
    monkeypatch.setitem(metrics.METRICS, name, metric)

    # It chooses the best epoch, and validation logs it.
    settings = command(f"--best_metric {name}").settings()
    brain = fit(make_brain(tmp_path, epochs=1, best_metric=name))
    assert settings["best_metric"] == name
    assert f" {name}: " in (tmp_path / "log.txt").read_text()
    (checkpoint,) = brain.checkpointer.list_checkpoints()
    assert checkpoint.meta[name] == pytest.approx(brain.scores.mean(name))

    # A test's table and files have it; clips without a value are counted.
    clean = np.array([1.0, -1.0, 1.0, -1.0])
    clips = [("a", clean, 0.9 * clean), ("b", clean, clean)]
    scores = scoring.score(clips, 16000, progress=False)
    assert scores.rows["a"][name] == pytest.approx(20.0, abs=1e-4)
    assert "enhanced is clean" in scores.undefined[name]["b"]
    # A copy of the module that makes its columns now.
    spec = importlib.util.find_spec("speechbrain_dfkd.run_folder")
    run_folder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_folder)
    line = {"system": "student", **scores.summary()}
    heading, cells = run_folder.write_report(tmp_path, [line]).splitlines()
    end = heading.index(metric.heading) + len(metric.heading)
    assert cells[:end].endswith(" 20.0")
    with open(tmp_path / "results.csv", newline="") as file:
        assert float(next(csv.DictReader(file))[name]) == pytest.approx(20.0)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["definitions"][name] == metric.definition
