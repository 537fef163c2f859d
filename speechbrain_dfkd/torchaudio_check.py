"""Names the cause where torchaudio was built for another torch.

Imported before SpeechBrain, which imports torchaudio and so dies of an
undefined symbol: pip installs any torchaudio beside a torch that was there.
"""

from importlib import import_module
from importlib.metadata import version


def require_torchaudio() -> None:
    """Import torchaudio, or say which to install where it does not fit."""
    try:
        import_module("torchaudio")
    except (OSError, AttributeError) as error:
        torch, torchaudio = version("torch"), version("torchaudio")
        release = torch.partition("+")[0]
        raise ImportError(
            f"torchaudio must fit torch, got torchaudio {torchaudio} beside "
            f"torch {torch} ({error}); pip install torchaudio=={release} "
            f"(where that is none: pip install --upgrade torchaudio)"
        ) from error


require_torchaudio()
