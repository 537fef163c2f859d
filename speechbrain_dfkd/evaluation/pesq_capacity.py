"""What the C code of the package pesq holds; it writes on without a check."""

import ctypes

import numpy as np
from pesq import cypesq

# Its arrays (pesq.h, pesqmod.c of version 0.0.4) end at 50 utterances and at
# 1000 intervals of bad frames; beyond, its score is wrong, or it crashes.
MAX_UTTERANCES = 50
# An utterance lasts 200 ms and the pause to the next 188 ms at least, so that
# the 51st begins after 19.4 s.
SURE_SECONDS = 19.0
# An interval of bad frames takes 8 frames of 16 ms at least: 128 s for 1000.
MAX_SECONDS = 120.0


class _Signal(ctypes.Structure):
    """SIGNAL_INFO of pesq.h."""

    _fields_ = [
        ("path_name", ctypes.c_char * 512),
        ("file_name", ctypes.c_char * 128),
        ("samples", ctypes.c_long),
        ("apply_swap", ctypes.c_long),
        ("input_filter", ctypes.c_long),
        ("data", ctypes.c_void_p),
        ("vad", ctypes.c_void_p),
        ("log_vad", ctypes.c_void_p),
    ]


def excess(clean: np.ndarray, sample_rate: int, band: str) -> str | None:
    """Say why PESQ cannot hold a reference [L], not silent; None where it can.

    The bands "wb" and "nb" filter the speech each in its own way.
    """
    seconds = len(clean) / sample_rate
    length = f"{seconds:.1f} s"
    if seconds <= SURE_SECONDS:
        return None
    if seconds > MAX_SECONDS:
        return f"{length} is longer than {MAX_SECONDS:g} s, which PESQ holds"
    try:
        found = count_utterances(clean, sample_rate, band)
    except AttributeError:  # its C functions are hidden
        return (
            f"{length} is longer than {SURE_SECONDS:g} s, and this build of "
            "pesq does not tell whether it holds them"
        )
    # The array of 50 is written to where another one begins.
    if found < MAX_UTTERANCES:
        return None
    most = MAX_UTTERANCES
    return f"{found} utterances in {length}, PESQ holds fewer than {most}"


def count_utterances(clean: np.ndarray, sample_rate: int, band: str) -> int:
    """Return how many utterances PESQ finds in a reference.

    The package does not tell, so its C function is called with room for all.
    """
    clean = (clean / np.abs(clean).max()).astype(np.float32)
    # ERROR_INFO, whose first member counts; what lies behind its end is ours.
    info = (ctypes.c_long * 2**17)()
    flag, message = ctypes.c_long(0), ctypes.c_char_p()
    error = ctypes.byref(flag), ctypes.byref(message)
    length, kind = len(clean), {"nb": 1, "wb": 2}[band]
    signals = [
        _Signal(samples=length, input_filter=kind, data=clean.ctypes.data)
        for _ in ("reference", "degraded")
    ]
    library = ctypes.CDLL(cypesq.__file__)
    library.select_rate(ctypes.c_long(sample_rate), *error)
    library.pesq_measure(*map(ctypes.byref, signals), info, *error)
    return info[0]
