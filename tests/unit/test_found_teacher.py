"""A teacher that was found was trained for the epochs that are asked for."""

import pytest

from speechbrain_dfkd import experiment
from speechbrain_dfkd.data.manifest import write_json
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.run_folder import DATA_FILE, EPOCHS_FILE
from speechbrain_dfkd.teacher.trained_network import EXPORT, WEIGHTS


class Settings:
    leaf = "teacher.yaml"

    def __init__(self, folder, epochs):
        manifest = folder / "manifest.json"
        entry = {"noisy_wav": "n.wav", "clean_wav": "c.wav", "length": 1.0}
        write_json(manifest, {"a": entry})
        self.values = {
            "output_folder": str(folder),
            "number_of_epochs": epochs,
            "train_annotation": manifest,
            "valid_annotation": manifest,
        }

    def settings(self):
        return self.values


@pytest.fixture
def teach(tmp_path, monkeypatch, capsys):
    """Return a function that asks for a number of epochs.

    It returns the number trained, None where the teacher was found, and what
    was printed.
    """
    asked = []

    def train(configuration, run_opts):
        asked.append(configuration.settings()["number_of_epochs"])
        if asked[-1] > 99:
            raise UserError("number_of_epochs must be less")
        (tmp_path / EXPORT).mkdir(exist_ok=True)
        (tmp_path / EXPORT / WEIGHTS).touch()
        (tmp_path / EXPORT / EPOCHS_FILE).write_text(f"{asked[-1]}\n")

    monkeypatch.setattr(experiment, "_teach", train)

    def teach(epochs):
        before = len(asked)
        settings = Settings(tmp_path, epochs)
        weights = experiment._find_or_teach(settings, run_opts=None)
        assert weights == tmp_path / EXPORT / WEIGHTS
        trained = asked[-1] if len(asked) > before else None
        return trained, capsys.readouterr().out

    return teach


def test_epochs_that_are_asked_for_are_trained(teach):
    trained, said = teach(1)
    assert trained == 1 and "Teacher not found" in said
    trained, said = teach(5)
    assert trained == 5
    assert "Teacher found, trained for 1 of 5 epochs; going on in" in said
    trained, said = teach(5)
    assert trained is None and said.startswith("Teacher found: ")
    assert "where" not in said
    trained, said = teach(2)
    assert trained is None
    assert "trained for 5 epochs where 2 are asked for" in said


def test_a_teacher_of_which_nothing_tells_the_epochs_is_kept(teach, tmp_path):
    teach(1)
    (tmp_path / EXPORT / EPOCHS_FILE).unlink()
    assert teach(5)[0] is None


def test_an_error_says_that_it_is_the_teachers(teach):
    with pytest.raises(UserError, match="less\nThis is about the teacher"):
        teach(100)


def test_a_teacher_of_other_recordings_is_refused(tmp_path, teach):
    assert teach(1)[0] == 1
    (tmp_path / DATA_FILE).write_text('{"train": "0", "valid": "0"}')
    with pytest.raises(UserError, match="other recordings in train and valid"):
        teach(1)
