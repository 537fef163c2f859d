"""A torchaudio of another torch is named with what to install."""

import pytest

from speechbrain_dfkd import torchaudio_check


def test_both_versions_and_the_remedy_are_named(monkeypatch):
    def import_module(name):
        raise OSError("_torchaudio.abi3.so: undefined symbol: torch_library")

    versions = {"torch": "2.7.1+cpu", "torchaudio": "2.11.0"}
    monkeypatch.setattr(torchaudio_check, "import_module", import_module)
    monkeypatch.setattr(torchaudio_check, "version", versions.get)
    with pytest.raises(ImportError) as caught:
        torchaudio_check.require_torchaudio()
    message = str(caught.value)
    assert "torchaudio 2.11.0 beside torch 2.7.1+cpu" in message
    assert "pip install torchaudio==2.7.1 " in message
    assert "undefined symbol" in message
