"""Training through kills, and by a schedule of the KD weight."""

from functools import cache

import pytest
from small_brain import TRAIN, Filter, fit, make_brain

from speechbrain_dfkd import EnhancementBrain, FrozenTeacher
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.evaluation import scoring
from speechbrain_dfkd.teacher.frozen import fingerprint


@pytest.fixture(autouse=True)
def one_worker(monkeypatch):
    """Score in one process, which waits for the next test."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(scoring, "IDLE_SECONDS", 300)


@pytest.fixture
def teacher():
    return FrozenTeacher(Filter(seed=2))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return a function that trains without a kill, once for all tests."""

    @cache
    def train(**options):
        folder = tmp_path_factory.mktemp("whole")
        return fit(make_brain(folder, FrozenTeacher(Filter(seed=2)), **options))

    return train


@pytest.mark.parametrize("kill_at", [1, 3, 4, 6, 8])
def test_killed_training_ends_with_the_same_weights(
    tmp_path, teacher, uninterrupted, kill_at
):
    whole = uninterrupted()
    with pytest.raises(KeyboardInterrupt):
        fit(make_brain(tmp_path / "killed", teacher, kill_at=kill_at))
    resumed = fit(make_brain(tmp_path / "killed", teacher))
    assert fingerprint(resumed.modules.student) == fingerprint(
        whole.modules.student
    )
    # A kill between a step and its checkpoint repeats that one step.
    assert type(resumed).steps <= 8 - kill_at + 1
    assert resumed.train_stats == pytest.approx(whole.train_stats)


@pytest.fixture
def without_scores(monkeypatch):
    monkeypatch.setattr(EnhancementBrain, "_score", lambda brain: {})


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize("kill_at", [3, 6])
def test_killed_training_keeps_its_accumulated_gradients(
    tmp_path, teacher, uninterrupted, kill_at
):
    options = {"grad_accumulation_factor": 2}
    whole = uninterrupted(**options)
    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        fit(make_brain(folder, teacher, kill_at=kill_at, **options))
    resumed = fit(make_brain(folder, teacher, **options))
    assert fingerprint(resumed.modules.student) == fingerprint(
        whole.modules.student
    )
    assert resumed.train_stats == pytest.approx(whole.train_stats)


@pytest.mark.usefixtures("without_scores")
def test_killed_training_goes_on_in_its_schedule(tmp_path, teacher):
    folder = tmp_path / "killed"
    schedule = {"kd_ramp": 0.5, "kd_stop": 0.75, "kd_gradient_ratio": 0.3}
    whole = fit(make_brain(tmp_path / "whole", teacher, **schedule))
    with pytest.raises(KeyboardInterrupt):
        fit(make_brain(folder, teacher, kill_at=3, **schedule))
    resumed = fit(make_brain(folder, teacher, **schedule))
    assert fingerprint(resumed.modules.student) == fingerprint(
        whole.modules.student
    )
    assert resumed.train_stats == pytest.approx(whole.train_stats)


@pytest.mark.usefixtures("without_scores")
def test_weight_rises_ends_and_is_logged(tmp_path, teacher):
    schedule = {"kd_ramp": 0.5, "kd_stop": 0.75, "ckpt_interval_steps": 0}
    # At the beginning of the eight steps: 0, 1/8, 2/8, 3/8; 4/8, 4/8, 0, 0.
    half = fit(make_brain(tmp_path, teacher, epochs=2, **schedule))
    assert half.train_stats["kd_weight"] == pytest.approx(0.25)
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert "kd_weight: 1.88e-01" in log[0]


@pytest.mark.usefixtures("without_scores")
def test_stopped_teacher_is_not_run(tmp_path, teacher):
    calls = []
    teacher.model.register_forward_hook(lambda *call: calls.append(call))
    schedule = {"kd_stop": 0.625, "ckpt_interval_steps": 0}
    brain = make_brain(tmp_path, teacher, epochs=2, **schedule)
    fit(brain)
    assert len(calls) == 5
    alone = brain.train_stats["l_se"]
    weighed = 0.5 * brain.train_stats["l_kd"] / 4
    loss = brain.train_stats["loss"]
    assert loss == pytest.approx(alone + weighed, rel=1e-5)


@pytest.mark.usefixtures("without_scores")
def test_measuring_the_weight_changes_nothing_else(tmp_path, teacher):
    ratio = {"kd_gradient_ratio": 0.3, "ckpt_interval_steps": 0}
    measured = fit(make_brain(tmp_path / "a", teacher, **ratio))
    weight = measured.schedule.weight
    assert weight != 0.5
    assert measured.train_stats["kd_weight"] == pytest.approx(weight)
    ratio["kd_gradient_ratio"] = None
    given = fit(make_brain(tmp_path / "b", teacher, kd_weight=weight, **ratio))
    assert fingerprint(given.modules.student) == fingerprint(
        measured.modules.student
    )


@pytest.mark.usefixtures("without_scores")
def test_resume_keeps_the_measured_weight(tmp_path, teacher, capsys):
    ratio = {"kd_gradient_ratio": 0.3, "ckpt_interval_steps": 0}
    first = fit(make_brain(tmp_path, teacher, epochs=1, **ratio))
    assert "kd_weight: " in capsys.readouterr().out
    resumed = fit(make_brain(tmp_path, teacher, epochs=2, **ratio))
    assert resumed.schedule.weight == first.schedule.weight
    assert "kd_weight: " not in capsys.readouterr().out


@pytest.mark.usefixtures("without_scores")
def test_resume_keeps_the_polarity(tmp_path, teacher):
    fresh = make_brain(tmp_path, teacher, epochs=1)
    with pytest.raises(TypeError):
        fresh.align_polarity(None)  # a first run looks at the data set
    fit(fresh)
    resumed = make_brain(tmp_path, teacher, epochs=2)
    resumed.align_polarity(None)


@pytest.mark.usefixtures("without_scores")
def test_resume_keeps_the_scale_of_the_teacher(tmp_path, teacher, capsys):
    fresh = make_brain(tmp_path, teacher, epochs=1)
    with pytest.raises(TypeError):
        fresh.scale_teacher(None)
    fresh.scale_teacher(TRAIN)
    scale = teacher.scale
    assert scale != 1 and "multiplied by" in capsys.readouterr().out
    fit(fresh)
    teacher.scale = 1.0
    resumed = make_brain(tmp_path, teacher, epochs=2)
    resumed.scale_teacher(None)
    fit(resumed)
    assert teacher.scale == scale
    assert "multiplied by" not in capsys.readouterr().out


def test_kill_in_validation_does_not_train_again(tmp_path, teacher):
    brain = make_brain(tmp_path, teacher, epochs=1)
    brain.evaluate_batch = None  # the first validation batch fails
    with pytest.raises(TypeError):
        fit(brain)
    resumed = fit(make_brain(tmp_path, teacher, epochs=1))
    assert type(resumed).steps == 0
    assert resumed.train_stats["l_kd"] > 0, "the log is complete all the same"


def test_other_teacher_is_refused_at_resume(tmp_path, teacher):
    fit(make_brain(tmp_path, teacher, epochs=1))
    other = FrozenTeacher(Filter(seed=3))
    with pytest.raises(UserError, match="the teacher must stay the same"):
        fit(make_brain(tmp_path, other, epochs=2))
    with pytest.raises(UserError, match="the teacher must stay the same"):
        fit(make_brain(tmp_path, None, epochs=2))
