"""The settings of arms: composed as a training does it, and checked before."""

import sys
from pathlib import Path

import pytest

from speechbrain_dfkd.comparison.comparison import (
    BaseCommand,
    check_arms,
    held_settings,
    read_base_command,
    refuse_changed_arms,
)
from speechbrain_dfkd.comparison.plan import read_plan
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.command_line import DFKD_KEYS, read_command
from speechbrain_dfkd.settings.tree import parse_tree

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "recipes/VoiceBank"
LEAF = str(ROOT / "hparams/dccrn_dfkd.yaml")
SHIPPED = [
    pytest.param(
        path,
        id=path.stem,
        # Dozens of arms.
        marks=[pytest.mark.slow] * (path.stem == "evidence"),
    )
    for path in sorted((ROOT / "hparams/comparisons").glob("*.yaml"))
]
SMALL = "!include:models/dccrn_eighth.yaml"


def test_later_changes_of_a_command_win():
    base = BaseCommand("a.yaml", ["--device", "cpu"], {"lr": 1})
    words = base.argv({"seed": 2, "score_splits": ["valid"]}, {"lr": 3})
    assert words[:5] == ["a.yaml", "--device", "cpu", "--lr", "3"]
    assert words[5:] == ["--seed", "2", "--score_splits", "[valid]"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def base(*words):
    options = ["--data_folder", "/d", "--student", SMALL, "--teacher", SMALL]
    return read_base_command([LEAF, *options, *words], RECIPE)


@pytest.fixture
def plan(tmp_path):
    def make(**arms):
        text = (ROOT / "hparams/comparisons/objectives.yaml").read_text()
        head, _, tail = text.partition("arms:\n")
        own = "".join(f"    {name}: {value}\n" for name, value in arms.items())
        path = tmp_path / "plan.yaml"
        _, _, rest = tail.partition("\nseeds:")
        path.write_text(f"{head}arms:\n{own}\nseeds:{rest}")
        return read_plan(path)

    return make


def settings_of(base, *changes):
    changes = [parse_tree(text, "a test") for text in changes]
    argv = base.argv(*changes)
    return read_command(argv, RECIPE, DFKD_KEYS).configuration.settings()


@pytest.mark.parametrize("path", SHIPPED)
def test_the_arms_that_ship_can_be_trained(path):
    assert len(check_arms(read_plan(path), base(), RECIPE)) > 2


def test_an_arm_adds_to_what_the_command_line_says():
    dataset = (
        "{valid_speakers: [p287], make_train: !name:a.b {snr_db: [-5, 15]}}"
    )
    common = base("--dataset", dataset, "--device", "cpu", "--lr", "0.5")
    arm = """
        kd: !include:kd/dfkd_rolloff.yaml # a comment
            share: 0.75
        lr: 0.25
        dataset: {make_train: {snr_db: [0]}}
    """
    settings = settings_of(common, arm, "max_grad_norm: 2", "seed: 7")
    assert settings["kd"]["share"] == 0.75
    assert settings["lr"] == 0.25
    assert settings["seed"] == 7
    assert settings["max_grad_norm"] == 2
    assert settings["dataset"]["valid_speakers"] == ["p287"]
    train = {"tag": "!name:a.b", "snr_db": [0]}
    assert settings["dataset"]["make_train"] == train
    words = common.argv()
    assert words[words.index("--device") + 1] == "cpu"
    assert "--noprogressbar" in words


def test_an_include_takes_the_place_of_a_mapping():
    common = base("--kd", "!include:kd/dfkd_rolloff.yaml {share: 0.5}")
    for file in ("dfkd.yaml", "dfkd.yaml {beta: 0.25}"):
        kd = settings_of(common, f"kd: !include:kd/{file}")["kd"]
        assert kd["name"] == "dfkd" and "share" not in kd
    assert settings_of(common, "kd: {share: 0.6}")["kd"]["share"] == 0.6


def test_an_arm_of_another_class_is_trained_by_it(plan):
    sgd = "!name:torch.optim.SGD {lr: 0.1, momentum: 0.9}"
    toy = plan(none="{kd_weight: 0}", sgd=f"{{opt_class: {sgd}}}")
    arms = check_arms(toy, base(), RECIPE)
    expected = {"tag": "!name:torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
    assert arms["sgd"]["opt_class"] == expected
    assert arms["none"]["opt_class"]["tag"] == "!name:torch.optim.Adam"


def test_an_arm_adds_arguments_to_the_class_of_the_command_line():
    for given in ("!name:torch.optim.SGD", "!name:torch.optim.SGD {lr: 1.0}"):
        common = base("--opt_class", given)
        for arm in ("{lr: 0.5}", "!name:torch.optim.SGD {lr: 0.5}"):
            optimizer = settings_of(common, f"opt_class: {arm}")["opt_class"]
            assert optimizer == {"tag": "!name:torch.optim.SGD", "lr": 0.5}
    common = base("--kd", "!include:kd/dfkd_rolloff.yaml")
    kd = settings_of(common, "kd: {share: 0.5}")["kd"]
    assert (kd["name"], kd["share"]) == ("dfkd_rolloff", 0.5)


@pytest.mark.parametrize(
    "words",
    [
        ["--seed", "3"],
        ["--debug"],
        ["--output_folder", "x"],
        ["--save_folder", "x"],
        ["--score_splits", "[valid]"],
    ],
)
def test_what_cannot_hold_for_all_is_refused(words):
    with pytest.raises(UserError, match=f"got {words[0]}; drop it"):
        base(*words)


def test_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="without torchrun"):
        base()


def test_settings_of_all_arms_are_told_apart(plan, capsys):
    toy = plan(none="{kd_weight: 0}", long="{number_of_epochs: 9}")
    settings = check_arms(toy, base(), RECIPE)
    assert settings["none"]["number_of_epochs"] == 200
    assert settings["long"]["number_of_epochs"] == 9
    held = held_settings(settings, toy)
    assert held["student"] == held["teacher"] == "dccrn_eighth"
    assert held["batch_size"] == 12
    assert not {"kd_weight", "number_of_epochs", "lr", "seed"} & set(held)
    assert capsys.readouterr().out == "", "arms are not announced"
    assert not Path("results").exists(), "a check leaves nothing behind"


@pytest.mark.parametrize(
    "arm, message",
    [
        ("{kd_wieght: 0}", "arm b: unknown key 'kd_wieght'.*'kd_weight'"),
        ("{kd: !include:kd/nothing.yaml }", "arm b: .*kd/nothing.yaml"),
        ("{kd_weight: -1}", "arm b: kd_weight must be"),
        ("{kd_weight: 0.0}", "same settings for b and none"),
        (
            "{kd: !include:kd/none.yaml }",
            "arm b: kd_weight must be 0 .* got 1.0 with the objective none; let",
        ),
        (
            "{kd: !include:kd/none.yaml , clean_as_teacher: True}",
            "arm b: kd_weight must be 0",
        ),
        (
            "{kd: !include:kd/frame_similarity.yaml {teacher_features: [x, rnn]}}",
            "arm b: teacher_features must be among",
        ),
        (
            "{kd: !include:kd/frame_similarity.yaml , teacher_cache: True}",
            "arm b: teacher_cache must be False for an objective on the",
        ),
        (
            "{init_from_teacher: True, student: !include:models/dptnet_tiny.yaml }",
            "arm b: a student that starts from its teacher must be a network",
        ),
    ],
)
def test_an_arm_that_cannot_be_trained_is_named(plan, arm, message):
    with pytest.raises(UserError, match=message):
        check_arms(plan(b=arm, none="{kd_weight: 0}"), base(), RECIPE)


def test_an_objective_without_distillation_can_have_no_weight(plan):
    toy = plan(none="{kd_weight: 0, kd: !include:kd/none.yaml }", b="{}")
    assert set(check_arms(toy, base(), RECIPE)) == {"none", "b"}


@pytest.mark.parametrize(
    "untaught", [{"kd_weight": 0}, {"clean_as_teacher": True, "kd_weight": 1}]
)
def test_a_teacher_that_a_file_describes_is_held_for_all(plan, untaught):
    # Only an arm with a teacher looks at the file that says which it is.
    common = {"init_from_teacher": False, "teacher_ckpt": "model.pth"}
    common |= {"kd": {"name": "mine", "loss": "!new:Mine"}}
    settings = {
        "none": {**common, **untaught, "teacher": {"name": "of_the_leaf"}},
        "b": {**common, "kd_weight": 1, "teacher": {"name": "of_the_file"}},
    }
    toy = plan(none="{kd_weight: 0}", b="{}")
    held = held_settings(settings, toy)
    assert held["teacher"] == "of_the_file" and held["kd"] == "mine"
    del settings["b"]
    assert held_settings(settings, toy)["teacher"] == "of_the_leaf"
    settings["none"]["init_from_teacher"] = True
    assert held_settings(settings, toy)["teacher"] == "of_the_leaf"


def test_an_arm_with_results_keeps_its_settings():
    before = {"a": {"lr": 1, "kd": {"beta": 1}}, "b": {"lr": 1}}
    now = {"a": {"lr": 2, "kd": {"beta": 1}}, "c": {"lr": 1}}
    refuse_changed_arms(before, now, {"b", "c"})
    with pytest.raises(UserError, match="a: lr: 1 there, 2 now"):
        refuse_changed_arms(before, now, {"a"})


@pytest.mark.parametrize(
    "key, before, now",
    [
        ("number_of_epochs", 200, 9),
        ("teacher_ckpt", None, "/t"),
        ("teacher_overrides", {}, {"lr": 1}),
    ],
)
def test_what_a_resume_may_change_a_comparison_may_not(key, before, now):
    with pytest.raises(UserError, match=f"a: {key}"):
        refuse_changed_arms({"a": {key: before}}, {"a": {key: now}}, {"a"})


def test_a_comparison_goes_on_with_the_same_options_of_speechbrain():
    before, now = {"a": {"lr": 1}}, {"a": {"lr": 1, "precision": "bf16"}}
    refuse_changed_arms(before, {"a": {"lr": 1, "precision": "fp32"}}, {"a"})
    with pytest.raises(UserError, match="a: precision: fp32 there, bf16 now"):
        refuse_changed_arms(before, now, {"a"})
