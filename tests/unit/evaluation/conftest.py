"""A speech-like signal for metrics that look for utterances."""

import numpy as np
import pytest

SAMPLE_RATE = 16000


@pytest.fixture
def speech():
    """Return ``speech(seconds, seed)``: low-passed noise in syllables."""

    def synthesise(seconds=2.0, seed=0):
        rng = np.random.default_rng(seed)
        samples = round(seconds * SAMPLE_RATE)
        # A leaky sum gives noise the falling spectrum of a voice.
        noise = np.convolve(
            rng.standard_normal(samples), 0.9 ** np.arange(100), "same"
        )
        time = np.arange(samples) / SAMPLE_RATE
        syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0.01, None)
        return (0.05 * syllables * noise).astype(np.float32)

    return synthesise
