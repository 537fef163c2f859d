"""A wrong option or settings file is named before anything is trained."""

import shutil

import pytest
from recipe_runs import (
    DFKD,
    ROOT,
    assert_refused,
    dfkd_options,
    run,
    trained_files,
)


@pytest.mark.parametrize(
    ("key", "value", "fragments"),
    [
        ("kd_wieght", 1, ["'kd_wieght' in the command line", "'kd_weight'"]),
        (
            "student",
            "{lstm_unitz: 3}",
            ["'student.lstm_unitz'", "'student.lstm_units'"],
        ),
        (
            "student",
            "!include:models/dccrn_eighth.yaml {lstm_unitz: 3}",
            ["lstm_unitz'", "dccrn_eighth.yaml", "lstm_units'"],
        ),
        (
            "teacher_overrides",
            "{segment_secondz: 3}",
            ["'segment_secondz'", "'segment_seconds'"],
        ),
        ("kd_weight", -0.5, ["kd_weight", "at least 0", "-0.5"]),
        ("kd_weight", "one", ["kd_weight", "'one'"]),
        # SpeechBrain has an option of this name.
        ("max_grad_norm", -1, ["max_grad_norm", "above 0", "-1"]),
        ("sample_rate", 8000, ["sample_rate must be 16000 Hz", "8000"]),
        ("segment_seconds", 9, ["segment_seconds", "9", "choose"]),
        ("teacher_overrides", "{segment_seconds: 9}", ["segment_seconds"]),
        ("student", "{channels: [2, 4}", ["must be valid YAML"]),
        (
            "student",
            "!include:models/dccrn_third.yaml",
            ["models/dccrn_third.yaml", "check the path"],
        ),
        ("student", "{channels: many}", ["DCCRN"]),
        ("init_from_teacher", "no", ["must be True or False, got 'no'"]),
        ("teacher_ckpt", "nowhere", ["teacher_ckpt", "nowhere"]),
        ("prec", "bf16", ["'prec' in the command line", "'precision'"]),
        ("precision", "fp16", ["precision must not be fp16 on a CPU"]),
        ("device", "cuda:99", ["device must be one of this machine", "cuda"]),
        ("opt_class", "AdamW", ["opt_class must be", "!name:torch.optim"]),
        ("opt_class", "!name:torch.optim.NoSuch {}", ["torch.optim.NoSuch"]),
        (
            "opt_class",
            "!name:torch.optim.SGD {lr: 1.0, beta: 1}",
            ["opt_class", "'beta'"],
        ),
        ("supervised_loss", "!name:torch.nn.L1Loss", ["supervised_loss must"]),
        (
            "teacher_overrides",
            "{opt_class: AdamW}",
            ["opt_class must be", "about the teacher"],
        ),
        ("ckpt_interval_steps", 3, ["--ckpt_interval_minutes 0"]),
    ],
)
def test_bad_option_is_named(call, corpus, tmp_path, key, value, fragments):
    outcome = call(dfkd_options(corpus, tmp_path, **{key: value}))
    assert_refused(*outcome, fragments, tmp_path)


def test_student_that_is_no_part_of_its_teacher_is_named(
    call, corpus, tmp_path
):
    options = {"init_from_teacher": True, "kd_weight": 0}
    larger = {"student": "!include:models/dccrn_half.yaml"}
    outcome = call(dfkd_options(corpus, tmp_path, **options, **larger))
    fragments = ["channels of encoder.0: 8 in the student, 4", "set init_from"]
    assert_refused(*outcome, fragments, tmp_path)
    other = {"student": "!include:models/conv_tasnet_tiny.yaml"}
    outcome = call(dfkd_options(corpus, tmp_path, **options, **other))
    assert_refused(*outcome, ["ConvTasNet from DCCRN"], tmp_path)


def test_option_given_twice_is_named(call, corpus, tmp_path):
    outcome = call([*dfkd_options(corpus, tmp_path), "--batch_size", "8"])
    assert_refused(*outcome, ['duplicate key "batch_size"', "drop"], tmp_path)


def test_option_can_be_put_right_in_the_same_folder(call, corpus, tmp_path):
    call(dfkd_options(corpus, tmp_path, segment_seconds=9))
    # The data are good, so these come as far as looking for a checkpoint.
    for options in ({}, {"kd_weight": 0.5}):
        leaf = dfkd_options(corpus, tmp_path, **options)
        code, _, stderr = call([*leaf, "--test_only"])
        assert code == 2
        assert "other settings" not in stderr
        assert "there must be a checkpoint to test" in stderr


def test_test_only_needs_a_checkpoint(call, corpus, tmp_path):
    alone = dfkd_options(corpus, tmp_path, kd_weight=0)
    outcome = call([*alone, "--test_only"])
    fragments = ["checkpoint to test", str(tmp_path), "without --test_only"]
    assert_refused(*outcome, fragments, tmp_path)


def test_missing_leaf_is_named(call, corpus, tmp_path):
    leaf = tmp_path / "hparams/dccrn_dkfd.yaml"
    outcome = call(dfkd_options(corpus, tmp_path / "results"), leaf)
    assert_refused(*outcome, [str(leaf), "check the path"], tmp_path)


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("dccrn_dfkd.yaml", "lr_patience: 5", "lr_pateince: 5"),
        ("dccrn_dfkd.yaml", "    lr: !ref <lr>", "    lr: !ref <learn_rate>"),
        ("dccrn_teacher.yaml", "weight_decay: 0", "weight_deacy: 0"),
        ("models/dccrn_eighth.yaml", "lstm_layers: 2", "lstm_layerz: 2"),
        ("models/dccrn_quarter.yaml", "lstm_layers: 2", "lstm_layerz: 2"),
        ("kd/dfkd.yaml", "beta: 0.5", "betta: 0.5"),
    ],
)
def test_misspelt_key_in_a_copied_file_is_named(
    call, corpus, tmp_path, file, right, wrong
):
    hparams = shutil.copytree(ROOT / "hparams", tmp_path / "hparams")
    text = (hparams / file).read_text()
    assert text.count(right) == 1
    (hparams / file).write_text(text.replace(right, wrong))
    results = tmp_path / "results"
    leaf = hparams / "dccrn_dfkd.yaml"
    outcome = call(dfkd_options(corpus, results), leaf)
    key = wrong.split("<")[-1].split(">")[0].split(":")[0]
    assert_refused(*outcome, [key, file], results)


@pytest.mark.slow
def test_other_options_in_the_same_folder_are_refused(call, finished):
    code, _, stderr = call([*finished.options(), "--precision", "bf16"])
    assert code == 2
    assert "precision: fp32 there, bf16 now" in stderr


@pytest.mark.slow
def test_other_settings_in_the_same_folder_are_refused(call, finished):
    before = {p: p.stat() for p in trained_files(finished.results)}
    code, _, stderr = call(finished.options(lr=0.5))
    assert code == 2
    assert "lr: 0.001 there, 0.5 now" in stderr
    assert "choose another --output_folder" in stderr
    after = {p: p.stat() for p in trained_files(finished.results)}
    assert {p: s.st_mtime_ns for p, s in after.items()} == {
        p: s.st_mtime_ns for p, s in before.items()
    }


def test_demo_says_so_and_how_to_run_on_the_data(call, tmp_path):
    arguments = ["--results_folder", tmp_path, "--skip_prep", "True"]
    code, stdout, _ = call(arguments)
    assert code == 2, "there is no manifest"
    assert "DEMO: no --data_folder was given" in stdout
    script, leaf = DFKD
    assert f"{script} {leaf} --data_folder DIR" in stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([], ["must name a settings file"]),
        ([DFKD[1], "--data_folder", "nowhere"], ["nowhere", "Download"]),
        ([DFKD[1], "--kd_wieght", "1"], ["did you mean 'kd_weight'?"]),
    ],
)
def test_script_exits_with_the_error(tmp_path, arguments, fragments):
    if arguments:
        arguments = [*arguments, "--results_folder", tmp_path]
    done = run(DFKD[:1], arguments)
    assert_refused(
        done.returncode, done.stdout, done.stderr, fragments, tmp_path
    )
