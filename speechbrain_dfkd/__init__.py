"""Dynamic Frequency-Adaptive Knowledge Distillation (DFKD) for SpeechBrain.

The public names are imported on first use, so that the worker processes that
score audio can import ``speechbrain_dfkd.evaluation`` without loading torch.
"""

import importlib

__version__ = "0.1.0"

_HOME_OF = {
    "EnhancementBrain": "training.enhancement_brain",
    "DFKDBrain": "training.dfkd_brain",
    "FrozenTeacher": "teacher.frozen",
    "FrequencyAdapter": "losses.crossover",
    "DFKDLoss": "losses.frequency_adaptive",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> type:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(f"{__name__}.torchaudio_check")
    home = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
