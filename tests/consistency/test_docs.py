"""README.md and docs/ lead somewhere, stay short, and their examples run."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from speechbrain_dfkd.models import DCCRN, Enhanced
from speechbrain_dfkd.settings.command_line import DFKD_KEYS
from speechbrain_dfkd.settings.configuration import compose

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


def test_an_objective_of_one_s_own_is_two_files(tmp_path, monkeypatch):
    section = "### An objective"
    module, file = (block(DESIGN, section, kind) for kind in ("python", "yaml"))
    (tmp_path / "my_losses.py").write_text(module)
    (tmp_path / "waveform_error.yaml").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "recipes/VoiceBank")
    monkeypatch.chdir(tmp_path)
    configuration = compose(
        ROOT / "hparams/dccrn_dfkd.yaml",
        [ROOT / "recipes/VoiceBank/voicebank.yaml"],
        f"kd: !include:{tmp_path}/waveform_error.yaml {{power: 2.0}}",
        DFKD_KEYS,
    )
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
