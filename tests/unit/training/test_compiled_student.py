"""A student under SpeechBrain's --compile trains and is saved as any."""

import pytest
import torch
from small_brain import fit, make_brain
from small_networks import conv_tasnet

from speechbrain_dfkd import EnhancementBrain, FrozenTeacher

COMPILE = {"compile": True, "compile_module_keys": ["student"]}


@pytest.mark.slow
def test_a_compiled_student_is_trained_and_saved_as_any(tmp_path, monkeypatch):
    """The keys of its weights have no prefix of the compiled module's."""
    monkeypatch.setattr(EnhancementBrain, "_score", lambda brain: {})

    def start(name, **run_opts):
        torch.manual_seed(0)
        teacher = FrozenTeacher(conv_tasnet(1, 1, 1))
        student = conv_tasnet(0, 1, 1)
        return make_brain(
            tmp_path / name, teacher, 1, student=student, run_opts=run_opts
        )

    plain, compiled = fit(start("plain")), fit(start("compiled", **COMPILE))
    assert type(compiled.modules.student) is not type(compiled.network)
    weights = compiled.network.state_dict()
    for key, value in plain.network.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=1e-3)
    resumed = start("compiled")
    resumed.on_fit_start()
    for key, value in resumed.network.state_dict().items():
        assert value.equal(weights[key])
