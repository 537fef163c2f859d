"""Tiny recordings for the tests of data preparation."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def write_noise():
    """Return a function that writes a short noise and returns its path."""

    def write(path, rate=48000, frames=480, seed=0, channels=1):
        path.parent.mkdir(parents=True, exist_ok=True)
        wav = np.random.default_rng(seed).uniform(-0.3, 0.3, (frames, channels))
        soundfile.write(path, wav, rate, subtype="PCM_16")
        return path

    return write


@pytest.fixture(scope="session")
def voicebank_prepare():
    """Return the recipe's module; recipes are scripts, not a package."""
    path = ROOT / "recipes/VoiceBank/voicebank_prepare.py"
    spec = importlib.util.spec_from_file_location("voicebank_prepare", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
