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


def _recipe_module(name):
    """Return a recipe's module; recipes are scripts, not a package."""
    [path] = ROOT.glob(f"recipes/*/{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def voicebank_prepare():
    """Return the module that prepares VoiceBank+DEMAND."""
    return _recipe_module("voicebank_prepare")


@pytest.fixture(scope="session")
def dns_prepare():
    """Return the module that prepares DNS2020."""
    return _recipe_module("dns_prepare")
