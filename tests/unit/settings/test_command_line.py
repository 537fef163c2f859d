"""From argv to settings, and from errors to exit codes."""

import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.settings.command_line import exit_code, read_command
from speechbrain_dfkd.settings.keys import DFKD_KEYS, TEACHER_KEYS

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "recipes/VoiceBank"
DFKD_LEAF = str(ROOT / "hparams/dccrn_dfkd.yaml")
TEACHER_LEAF = str(ROOT / "hparams/dccrn_teacher.yaml")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])


def settings(*argv, leaf=DFKD_LEAF, keys=DFKD_KEYS):
    return read_command([leaf, *argv], RECIPE, keys).configuration.settings()


@pytest.mark.parametrize(
    ("leaf", "keys", "message"),
    [
        (TEACHER_LEAF, DFKD_KEYS, "dfkd leaf, got .*without .*kd, .*kd_weight"),
        (DFKD_LEAF, TEACHER_KEYS, "teacher leaf, got .*a dfkd leaf"),
    ],
)
def test_leaf_of_the_other_script_is_refused(leaf, keys, message):
    with pytest.raises(UserError, match=message):
        settings(leaf=leaf, keys=keys)


def test_demo_is_smaller_and_says_so(capsys):
    demo = settings()
    assert "DEMO" in capsys.readouterr().out
    real = settings("--data_folder", "/data")
    assert "DEMO" not in capsys.readouterr().out
    assert demo["number_of_epochs"] < real["number_of_epochs"] == 200
    assert demo["results_folder"] != real["results_folder"]
    assert real["data_folder"] == "/data"


@pytest.mark.parametrize(
    ("argv", "run"),
    [
        ([], "dfkd_1.0-seed_1234"),
        (["--seed", "1"], "dfkd_1.0-seed_1"),
        (["--kd_weight", "0"], "dfkd_0-seed_1234"),
        (["--init_from_teacher", "True"], "dfkd_1.0-seed_1234-initialised"),
        (["--clean_as_teacher", "True"], "dfkd_1.0-seed_1234-clean_as_teacher"),
        (
            ["--kd_gradient_ratio", "0.5", "--kd_ramp", "1.0e-1"],
            "dfkd_1.0-seed_1234-gradient_ratio_0.5-ramp_0.1",
        ),
        (
            ["--init_from_teacher", "True", "--kd_stop", "0.7"],
            "dfkd_1.0-seed_1234-stop_0.7-initialised",
        ),
        (["--kd_stop", "1", "--kd_ramp", "0"], "dfkd_1.0-seed_1234"),
        (
            ["--align_polarity", "False"],
            "dfkd_1.0-seed_1234-align_polarity_False",
        ),
    ],
)
def test_what_tells_a_run_apart_names_its_folder(argv, run):
    assert Path(settings(*argv)["output_folder"]).name == run


def test_option_of_speechbrain_is_a_key_of_the_leaf():
    command = read_command(
        [DFKD_LEAF, "--max_grad_norm", "2"], RECIPE, DFKD_KEYS
    )
    assert command.configuration.settings()["max_grad_norm"] == 2
    assert "max_grad_norm" not in command.run_opts.overridden_args


def test_the_command_is_kept_for_a_shell_in_this_folder(monkeypatch):
    monkeypatch.chdir(ROOT)
    argv = ["hparams/dccrn_dfkd.yaml", "--kd", "dfkd", "--experiment", "my own"]
    text = read_command(argv, Path("recipes/VoiceBank"), DFKD_KEYS).text
    script = "python recipes/VoiceBank/train_dfkd.py"
    assert text.startswith(f"{script} hparams/dccrn_dfkd.yaml --kd dfkd ")
    assert text.endswith(" --experiment 'my own'")


def test_an_abbreviation_of_an_option_is_refused():
    for word in ("--prec", "--precisio"):
        with pytest.raises(UserError, match=f"'{word[2:]}'.*'precision'"):
            settings(word, "bf16")


def test_an_option_that_decides_on_results_is_recorded():
    argv = [DFKD_LEAF, "--data_folder", "/d", "--precision", "bf16"]
    argv += ["--grad_accumulation_factor", "4", "--device", "cpu"]
    command = read_command(argv, RECIPE, DFKD_KEYS)
    for configuration in (command.configuration, command.teacher()):
        got = configuration.settings()
        assert got["precision"] == "bf16"
        assert got["grad_accumulation_factor"] == 4
        assert "device" not in got and "noprogressbar" not in got
        assert "precision: bf16" in configuration.text
    plain = read_command(argv[:3], RECIPE, DFKD_KEYS).configuration
    assert "precision" not in plain.settings()


def test_minutes_between_checkpoints_may_be_a_part_of_one():
    got = settings("--ckpt_interval_minutes", "0.5")
    assert got["ckpt_interval_minutes"] == 0.5


def test_debugging_leaves_the_run_alone():
    for more in ([], ["--debug_persistently"]):
        folder = settings("--debug", *more)["output_folder"]
        assert Path(folder).name == "debug"


def test_home_is_expanded_in_every_setting(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    argv = ["--data_folder=~/vb", "--results_folder=~/results"]
    argv += ["--dataset", "{name: ~/x}"]
    got = settings(*argv)
    assert got["data_folder"] == "/home/me/vb"
    assert got["results_folder"] == "/home/me/results"
    for key in ("prepared_folder", "train_annotation", "output_folder"):
        assert got[key].startswith("/home/me/results/"), key
    assert got["dataset"]["name"] == "/home/me/x"
    assert settings("--data_folder=~")["data_folder"] == "/home/me"
    argv = [DFKD_LEAF, *argv, "--teacher_overrides", "{train_log: ~/log}"]
    teacher = read_command(argv, RECIPE, DFKD_KEYS).teacher().settings()
    assert teacher["results_folder"] == "/home/me/results"
    assert teacher["train_log"] == "/home/me/log"


def test_names_that_yaml_reads_as_numbers_are_names():
    got = settings(
        "--data_folder", "/d", "--results_folder", "1e3",
        "--run", "007", "--dataset", "{valid_speakers: [226, 007, 1_0]}",
    )  # fmt: skip
    assert got["results_folder"] == "1e3"
    assert got["output_folder"].startswith("1e3/")
    assert got["output_folder"].endswith("/007")
    assert got["dataset"]["valid_speakers"] == ["226", "007", "1_0"]
    got = settings("--dataset.valid_speakers", "[226]", "--data_folder", "/d")
    prepare = got["dataset"]["prepare"]
    assert prepare["valid_speakers"] == ["226"]


@pytest.mark.parametrize("name", ["dccrn_eighth", "models/dccrn_eighth.yaml"])
def test_a_network_is_swapped_by_its_name(name):
    for key in ("student", "teacher"):
        assert settings(f"--{key}", name)[key]["name"] == "dccrn_eighth"
    student = settings("--student.lstm_units", "7", "--student", name)[
        "student"
    ]
    assert (student["name"], student["lstm_units"]) == ("dccrn_eighth", 7)
    assert student["model"]["lstm_units"] == 7


def test_a_file_of_the_current_folder_is_a_network(monkeypatch):
    monkeypatch.chdir(ROOT)
    student = settings("--student", "hparams/models/dccrn_eighth.yaml")
    assert student["student"]["name"] == "dccrn_eighth"


def test_an_objective_is_swapped_by_its_name():
    assert settings("--kd", "dfkd_rolloff")["kd"]["name"] == "dfkd_rolloff"
    assert settings("--kd.beta", "0.25")["kd"]["loss"]["beta"] == 0.25


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--student", "dccrn_third"],
            "student must be .*'dccrn_third'.*eighth",
        ),
        (["--kd", "none_such"], "kd must be a settings file .* dfkd,"),
        (["--student.lstm_unitz", "3"], "'student.lstm_unitz'.*lstm_units'"),
        (["--zzz", "3"], "unknown key 'zzz' in the command line; --help lists"),
    ],
)
def test_an_unknown_name_is_answered_in_one_line(argv, message):
    with pytest.raises(UserError, match=message) as caught:
        settings(*argv)
    assert "\n" not in str(caught.value)


def test_a_teacher_that_nothing_looks_at_may_be_gone():
    gone = ["--teacher_ckpt", "/nowhere", "--data_folder", "/d"]
    settings(*gone, "--clean_as_teacher", "True")
    settings(*gone, "--kd", "none")
    settings(*gone, "--kd_weight", "0")
    for needs in (
        [],
        ["--clean_as_teacher", "True", "--init_from_teacher", "True"],
    ):
        with pytest.raises(UserError, match="/nowhere"):
            settings(*gone, *needs)


def test_a_size_that_is_none_is_a_user_error():
    argv = [DFKD_LEAF, "--data_folder", "/d", "--student.lstm_units", "wide"]
    command = read_command(argv, RECIPE, DFKD_KEYS)
    with pytest.raises(UserError, match="dccrn_dfkd.yaml cannot be used: "):
        command.configuration.build()


def test_teacher_shares_the_data_and_nothing_else():
    argv = [DFKD_LEAF, "--data_folder", "/data", "--lr", "0.5"]
    argv += ["--teacher", "!include:models/dccrn_half.yaml"]
    argv += ["--teacher_overrides", "{batch_size: 3}"]
    teacher = read_command(argv, RECIPE, DFKD_KEYS).teacher().settings()
    assert teacher["data_folder"] == "/data"
    assert teacher["teacher"]["name"] == "dccrn_half"
    assert teacher["batch_size"] == 3
    assert teacher["lr"] == 0.001


@pytest.mark.parametrize(
    "word", ["dccrn_half", "!include:models/dccrn_half.yaml"]
)
def test_what_the_teacher_alone_overrides_reaches_its_network(word):
    argv = [DFKD_LEAF, "--data_folder", "/d", "--teacher", word]
    argv += ["--teacher.lstm_units", "32", "--teacher_overrides"]
    argv += ["{teacher: {lstm_units: 8}}"]
    command = read_command(argv, RECIPE, DFKD_KEYS)
    network = command.configuration.settings()["teacher"]
    assert network["model"]["lstm_units"] == 32
    network = command.teacher().settings()["teacher"]
    assert network["name"] == "dccrn_half"
    assert network["model"]["lstm_units"] == 8


def test_teacher_of_ones_own_file_is_taught_as_it_is(tmp_path):
    """Its keys are not those of the network that its leaf has."""
    text = (ROOT / "hparams/models/conv_tasnet_small.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("n_filters", "width").replace(
        "width: !ref", "n_filters: !ref"
    ))  # fmt: skip
    for beside in ([], ["--teacher.width", "7"]):
        argv = [DFKD_LEAF, "--data_folder", "/d", "--teacher", str(own)]
        command = read_command([*argv, *beside], RECIPE, DFKD_KEYS)
        network = command.teacher().settings()["teacher"]
        assert network == command.configuration.settings()["teacher"]
        assert "n_filters" not in network
        assert network["model"]["n_filters"] == (7 if beside else 128)


def test_teacher_of_another_family_is_trained_by_its_own_leaf():
    argv = [DFKD_LEAF, "--data_folder", "/data"]
    argv += ["--teacher", "!include:models/conv_tasnet_small.yaml"]
    teacher = read_command(argv, RECIPE, DFKD_KEYS).teacher()
    assert teacher.leaf.name == "convtasnet_teacher.yaml"
    assert teacher.settings()["teacher"]["name"] == "conv_tasnet_small"


def raises(error):
    def run(argv, folder):
        raise error

    return run


def test_exit_codes(capsys):
    assert exit_code(lambda argv, folder: None, [], ".") == 0
    assert exit_code(raises(UserError("lr must be big")), [], ".") == 2
    assert "error: lr must be big" in capsys.readouterr().err
    assert exit_code(raises(KeyboardInterrupt()), [], ".") == 130
    with pytest.raises(RuntimeError):  # a bug keeps its traceback
        exit_code(raises(RuntimeError()), [], ".")


class Gone:
    """A data set whose recordings are not there."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise UserError("a.wav must exist, got no such file;\nput it back")


def test_error_of_a_worker_has_no_traceback(capsys):
    def train(argv, folder):
        try:
            list(DataLoader(Gone(), num_workers=1))
        except UserError as error:
            assert "Traceback" in str(error)
            raise UserError(f"{error}\nThis is about the teacher") from error

    assert exit_code(train, [], ".") == 2
    assert capsys.readouterr().err == (
        "\nerror: a.wav must exist, got no such file;\nput it back\n"
        "\nThis is about the teacher\n"
    )
