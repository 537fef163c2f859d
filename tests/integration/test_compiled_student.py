"""A student under torch.compile: trains, goes on, and is exported as any."""

import pytest
import torch
from recipe_runs import SHORT, WEIGHTS, dfkd_options
from speechbrain.inference.enhancement import WaveformEnhancement

pytestmark = pytest.mark.slow


def test_a_compiled_student_goes_on_and_is_deployed(
    call, succeed, corpus, tmp_path
):
    """The keys of its weights have no prefix of the compiled module's."""
    alone = {"kd_weight": 0, "student": "!include:models/conv_tasnet_tiny.yaml"}
    leaf = "hparams/convtasnet_dfkd.yaml"
    words = ["--compile", "--compile_module_keys", "student"]

    def options(name, epochs):
        changes = {**alone, **SHORT, "number_of_epochs": epochs}
        return dfkd_options(corpus, tmp_path / name, **changes)

    succeed([*options("compiled", 1), *words], leaf)
    longer = succeed([*options("compiled", 2), *words], leaf)
    assert "Going into epoch 1" not in longer
    succeed(options("plain", 1), leaf)
    succeed(options("plain", 2), leaf)
    weights = []
    for name in ("compiled", "plain"):
        (path,) = (tmp_path / name).rglob(WEIGHTS)
        weights.append(torch.load(path, weights_only=True))
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], rtol=0, atol=1e-3)
    enhancer = WaveformEnhancement.from_hparams(
        source=str(path.parent).replace("/plain/", "/compiled/"),
        savedir=str(tmp_path / "savedir"),
    )
    wav = enhancer.enhance_batch(torch.randn(1, 8000) / 10, torch.ones(1))
    assert wav.shape == (1, 8000) and wav.isfinite().all()
