"""eSpeak NG through ctypes, so that the same text gives the same samples.

The library comes from the wheel ``espeakng-loader``. It keeps state in static
variables that even a restart leaves behind, and seeds its noise with the time
of day; each engine here therefore loads its own copy of the library and seeds
it.
"""

import ctypes
import shutil
import tempfile

import numpy as np

from speechbrain_dfkd.errors import UserError

NATIVE_RATE = 22050

# The values of espeak-ng/speak_lib.h that are used here.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_UTF8 = 1
# Of 200. Some voices clip at the default of 100.
_SAFE_VOLUME = 40

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)


class ESpeak:
    """One talker: an eSpeak NG engine of its own, with one voice.

    Its output is a function of the voice, the seed and everything that it said
    before, on one machine type and library version.

    Arguments
    ---------
    voice : str
        An eSpeak NG voice, with its variant: "en-us+f3".
    seed : int
        Seeds the noise in fricatives and breath.

    Raises
    ------
    UserError
        If the library is missing, cannot start, or lacks the voice.
    """

    def __init__(self, voice: str, seed: int):
        self._chunks = []
        # ctypes keeps no reference to a callback: it must live on the object.
        self._callback = _CALLBACK(self._collect)
        self._library = _start_library()
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(
                f"voice must be known to eSpeak NG, got {voice!r}; "
                "pip install --upgrade espeakng-loader"
            )

    def say(
        self, text: str, words_per_minute: int = 160, pitch: int = 50
    ) -> np.ndarray:
        """Speak ``text``.

        Arguments
        ---------
        text : str
            One sentence.
        words_per_minute : int
            80 to 450.
        pitch : int
            0 to 99; 50 is the voice's own.

        Returns
        -------
        numpy.ndarray
            float32 [samples] in (-1, 1) at ``NATIVE_RATE``.

        Raises
        ------
        UserError
            If no sound comes back.
        """
        settings = (_RATE, words_per_minute), (_VOLUME, _SAFE_VOLUME)
        for parameter, value in (*settings, (_PITCH, pitch)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._chunks.clear()
        data = text.encode()
        self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None
        )
        self._library.espeak_Synchronize()
        wav = np.frombuffer(b"".join(self._chunks), np.int16)
        if not wav.any():
            raise UserError(
                f"eSpeak NG must give sound, got none for {text!r}; "
                "pip install --force-reinstall espeakng-loader"
            )
        return wav.astype(np.float32) / 32768

    def close(self):
        """Free the voice data."""
        self._library.espeak_Terminate()

    def _collect(self, samples, count, events):
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def _start_library():
    loader = _loader()
    library = _load_copy(loader.get_library_path())
    data = str(loader.get_data_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate != NATIVE_RATE:
        raise UserError(
            f"eSpeak NG must start at {NATIVE_RATE} Hz, got {rate} with its "
            f"data in {data}; pip install --force-reinstall espeakng-loader, "
            "in a folder with a path of less than 140 characters"
        )
    return library


def _loader():
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError(
            "the demo corpus needs the package espeakng-loader, which is not "
            'installed; run: pip install -e ".[demo]"'
        ) from error
    return espeakng_loader


def _load_copy(path):
    try:
        # A loaded library can be unlinked, except on Windows: leave it there.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return ctypes.CDLL(str(shutil.copy(path, folder)))
    except OSError as error:
        raise UserError(
            "eSpeak NG must load from the folder for temporary files, got: "
            f"{error}; set TMPDIR to a folder that has room and from which "
            "libraries may be loaded"
        ) from error
