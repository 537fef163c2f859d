"""What the C code of the package pesq holds; it writes on without a check.

Its arrays (pesq.h, pesqmod.c of version 0.0.4) end at 50 utterances and at
1000 intervals of bad frames. Beyond them it returns a wrong score, or crashes.
"""

import ctypes

import numpy as np
from pesq import cypesq

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

    Example
    -------
    >>> excess(np.ones(16000), 16000, "wb")
    >>> excess(np.ones(121 * 16000), 16000, "wb")
    '121.0 s is longer than 120 s, which PESQ holds'
    """
    seconds = len(clean) / sample_rate
    if seconds <= SURE_SECONDS:
        return None
    if seconds > MAX_SECONDS:
        return (
            f"{seconds:.1f} s is longer than {MAX_SECONDS:g} s, which PESQ "
            "holds"
        )
    try:
        utterances = count_utterances(clean, sample_rate, band)
    except AttributeError:  # its C functions are hidden
        return (
            f"{seconds:.1f} s is longer than {SURE_SECONDS:g} s, and this build "
            "of pesq does not tell whether it holds them"
        )
    # The array of 50 is written to where another one begins.
    if utterances < MAX_UTTERANCES:
        return None
    return (
        f"{utterances} utterances in {seconds:.1f} s, PESQ holds fewer than "
        f"{MAX_UTTERANCES}"
    )


def count_utterances(clean: np.ndarray, sample_rate: int, band: str) -> int:
    """Return how many utterances PESQ finds in a reference.

    The package does not tell, so its C function is called with room for all.
    """
    clean = (clean / np.abs(clean).max()).astype(np.float32)
    # ERROR_INFO, whose first member counts; what lies behind its end is ours.
    info = (ctypes.c_long * 2**17)()
    flag, message = ctypes.c_long(0), ctypes.c_char_p()
    error = ctypes.byref(flag), ctypes.byref(message)
    reference, degraded = (
        _Signal(
            samples=len(clean),
            input_filter={"nb": 1, "wb": 2}[band],
            data=clean.ctypes.data,
        )
        for _ in range(2)
    )
    library = ctypes.CDLL(cypesq.__file__)
    library.select_rate(ctypes.c_long(sample_rate), *error)
    library.pesq_measure(
        ctypes.byref(reference), ctypes.byref(degraded), info, *error
    )
    return info[0]
