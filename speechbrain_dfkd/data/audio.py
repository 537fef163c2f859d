"""Each recording of a corpus, checked once and resampled."""

import contextlib
import dataclasses
import functools
import io
import json
import math
import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from joblib import Parallel, cpu_count, delayed
from scipy import signal
from scipy.io import wavfile
from tqdm import tqdm

from speechbrain_dfkd.errors import UserError, listing
from speechbrain_dfkd.files import stable_hash, stats, write_atomically

UNREADABLE = "cannot be read as audio; copy or unpack them again"
LFS_POINTER = (
    "are Git LFS pointers in place of audio; fetch the audio with `git lfs "
    "pull` where they were cloned"
)
TRUNCATED = "end before the length in their header; copy or unpack them again"
EMPTY = "hold no samples; remove them with their noisy or clean twins"
MULTICHANNEL = "have several channels; convert them to mono"
LOW_RATE = "are below sample_rate; get them at that rate or a higher one"
NOT_FINITE = "hold NaN or infinite samples; remove them with their twins"
SILENT = "are silent (all samples are equal); remove them with their twins"

# From this size on, and 0: a program did not know the length beforehand. sox
# writes this one, arecord 0x80000000, ffmpeg 0xFFFFFFFF.
_UNKNOWN_FROM = 0x7FFFF000
# What libsndfile, which silently shortens a file that ends early, notes of it:
# in WAV and AIFF, AU, W64, and of the samples of RF64. The size of the whole
# file in other headers is wrong in many good files.
_SHORT = re.compile(
    r"^ *(?:data|SSND|Data Size|riff) +: (\d+) \(should be (\d+)\)"
    r"|frame count (\d+) does not match value from 'ds64' chunk of (\d+)",
    re.MULTILINE,
)


class WavFile(NamedTuple):
    """A recording's header; ``subtype`` is soundfile's name, or unknown."""

    path: Path
    sample_rate: int
    frames: int
    subtype: str = ""


class BadAudio(ValueError):
    """One recording that cannot be used, and what was found in it."""

    def __init__(self, problem: str, path: Path, detail: str = ""):
        super().__init__(problem, path, detail)
        self.problem = problem
        self.line = f"{path} ({detail})" if detail else str(path)


def raise_if_bad(found: Iterable) -> None:
    """Raise one ``UserError`` that names each ``BadAudio`` among ``found``."""
    bad = [wav for wav in found if isinstance(wav, BadAudio)]
    text = ""
    for problem in dict.fromkeys(wav.problem for wav in bad):
        lines = [wav.line for wav in bad if wav.problem == problem]
        shown = listing(lines, title=f"{problem}:")
        text += f"\n{len(lines)} {problem}:\n{shown}"
    if text:
        raise UserError(
            "data_folder must hold whole, mono recordings with sound in them, "
            f"got {len(bad)} other{'s' * (len(bad) > 1)}:{text}"
        )


def check_header(path: Path, sample_rate: int, mono: bool = True) -> WavFile:
    """Return a recording's header, or raise ``BadAudio``."""
    try:
        info = soundfile.info(path)
        size = path.stat().st_size
    except (soundfile.SoundFileError, OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    if missing := _missing(size, info.extra_info):
        raise BadAudio(TRUNCATED, path, f"at least {missing} bytes are missing")
    if info.frames == 0:
        raise BadAudio(EMPTY, path, f"in {size} bytes")
    if mono and info.channels != 1:
        raise BadAudio(MULTICHANNEL, path, f"{info.channels} channels")
    if info.samplerate < sample_rate:
        raise BadAudio(LOW_RATE, path, f"{info.samplerate} Hz")
    return WavFile(path, info.samplerate, info.frames, info.subtype)


def _unreadable(path: Path, error: Exception) -> BadAudio:
    """Return the ``BadAudio`` of a file by what it begins with."""
    try:
        with open(path, "rb") as file:
            head = file.read(200)
    except OSError as reason:
        return BadAudio(UNREADABLE, path, reason.strerror)
    if head.startswith(b"version https://git-lfs"):
        return BadAudio(LFS_POINTER, path)
    text = head.decode("utf-8", "ignore").strip()
    detail = str(error) if text else "is empty"
    if text and (text.isprintable() or text[0] == "<"):
        detail = f"is text: {text.splitlines()[0][:40]!r}"
    return BadAudio(UNREADABLE, path, detail)


def _missing(size: int, log: str) -> int:
    """Return how many bytes, of RF64 samples, a file of a size lacks."""
    if not (found := _SHORT.search(log)):
        return 0
    there, length = sorted(int(number) for number in found.groups() if number)
    # Some programs put the size of the file in place of that of the samples.
    if length >= _UNKNOWN_FROM or length in (size, size - 8):
        return 0
    # Some programs count a padding byte that they do not write.
    return length - there if length - there > 1 else 0


def read_samples(wav: WavFile) -> np.ndarray:
    """Return the first channel [frames], or raise what no header tells."""
    try:
        samples, _ = soundfile.read(wav.path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(wav.path, error) from error
    if len(samples) < wav.frames:
        found = f"{len(samples)} of {wav.frames} samples"
        raise BadAudio(TRUNCATED, wav.path, found)
    if not np.isfinite(samples).all():
        raise BadAudio(NOT_FINITE, wav.path)
    # SI-SDR divides by the energy around the mean, and PESQ fails on none.
    if np.ptp(samples[:, 0]) == 0:
        raise BadAudio(SILENT, wav.path)
    return np.ascontiguousarray(samples[:, 0])


def read_part(
    path: str | Path, start: int = 0, frames: int = -1
) -> tuple[np.ndarray, int]:
    """Return a part of the first channel [frames], and its rate in Hz."""
    try:
        samples, rate = soundfile.read(
            path, frames, start, dtype="float32", always_2d=True
        )
    except (soundfile.SoundFileError, OSError) as error:
        if not Path(path).is_file():
            raise changed(path, "exist", "no such file") from error
        raise changed(path, "be readable", str(error)) from error
    if frames >= 0 and len(samples) != frames:
        end = start + frames
        raise changed(path, f"have {end} samples or more", "fewer")
    return np.ascontiguousarray(samples[:, 0]), rate


def changed(path: str | Path, constraint: str, found: str) -> UserError:
    """Return the error of a recording that preparation found in order."""
    return UserError(
        f"{path} must {constraint}, got {found}; restore the file that was "
        "there at preparation, or run the recipe without skip_prep"
    )


# Samples of these kinds lose nothing in a copy of 16 bits.
_FITS_16_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")
# Below this peak the copy's own rounding would be heard.
_QUIET = 2**-6
# What the filter leaves of a recording whose sound lies above the new band.
_RESIDUE = 1e-4
ZERO_CROSSINGS = 64
# Flat to 0.1 dB up to 90 % of the new Nyquist frequency, -100 dB from it on.
ROLLOFF, KAISER_BETA = 0.95, 10.0


@functools.lru_cache
def _lowpass(up: int, down: int) -> np.ndarray:
    factor = max(up, down)
    taps = 2 * ZERO_CROSSINGS * factor + 1
    window = ("kaiser", KAISER_BETA)
    return signal.firwin(taps, ROLLOFF / factor, window=window).astype("f4")


def resample(
    samples: np.ndarray, source_rate: int, target_rate: int
) -> np.ndarray:
    """Change the sample rate of [frames], by a linear-phase lowpass filter."""
    up, down = Fraction(target_rate, source_rate).as_integer_ratio()
    taps = _lowpass(up, down)
    if up > 1:
        return signal.resample_poly(samples, up, down, window=taps)
    # 48 to 16 kHz, the common case: the same five times faster.
    return signal.oaconvolve(samples, taps, mode="same")[::down]


def wav_bytes(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return samples as a wav file of their type: int16 or float32."""
    # By scipy: libsndfile would put the time into a file of float32.
    buffer = io.BytesIO()
    wavfile.write(buffer, sample_rate, samples)
    return buffer.getvalue()


def fits_16_bits(samples: np.ndarray) -> bool:
    """Tell whether 16 bits neither clip samples nor round them away."""
    peak = np.abs(samples).max(initial=0.0)
    return bool(peak == 0 or _QUIET <= peak < 1 - 2**-15)


def to_16_bits(samples: np.ndarray) -> np.ndarray:
    """Return int16 of samples in [-1, 1], the greatest of which is clipped."""
    # 1 is one step beyond the greatest number of 16 bits.
    return np.rint(samples * 32768).clip(-32768, 32767).astype("i2")


_LOGS = "scanned*.jsonl"


@dataclasses.dataclass(frozen=True)
class Scan:
    """Checks the recordings of a corpus and resamples those that need it.

    ``cache`` gets copies at ``sample_rate`` of those at another one, and logs
    of what was found: a later scan, also after a kill, reads only what is new.
    A ``shard`` (i, n), i from 1 on, is a share by a hash of the names.
    """

    root: Path
    cache: Path
    sample_rate: int
    n_jobs: int | None = None
    shard: tuple[int, int] | None = None

    def find(self, paths: list[Path], mono: bool = True) -> list:
        """Return the ``WavFile`` or ``BadAudio`` of each; no ``mono``: no copy."""
        names = [str(path.relative_to(self.root)) for path in paths]
        if self.shard:
            i, n = self.shard
            own = [stable_hash(name) % n == i - 1 for name in names]
            names, paths = (list(compress(x, own)) for x in (names, paths))
        # Before reading: a file that changes meanwhile is out of date.
        keys = [
            stat and (name, stat.st_size, stat.st_mtime_ns, self.sample_rate)
            for name, stat in zip(names, stats(paths), strict=True)
        ]
        found = self._logged(paths, keys)
        pending = [i for i, wav in enumerate(found) if wav is None]
        self.cache.mkdir(parents=True, exist_ok=True)
        look_at = dataclasses.replace(self)._look_at  # pickled without rows
        # loky's workers do not import the main script (and torch with it), and
        # one that is killed ends the call with an error.
        results = Parallel(self.n_jobs or cpu_count(), return_as="generator")(
            delayed(look_at)(paths[i], mono) for i in pending
        )
        bar = tqdm(results, "Checking recordings", len(pending), unit="file")
        with self._log.open("a") as stream:
            for i, (wav, size) in zip(pending, bar, strict=True):
                found[i] = wav
                if keys[i] and isinstance(wav, WavFile):
                    row = self._rows[keys[i]] = [size, *wav[1:]]
                    stream.write(_line(keys[i], row))
                    stream.flush()
        return found

    def recordings(self, paths: list[Path], mono: bool = True) -> list[WavFile]:
        """Return what to mix from of each path; raise for all bad ones."""
        found = self.find(paths, mono)
        raise_if_bad(found)
        return [self.used(wav) if mono else wav for wav in found]

    def used(self, wav: WavFile) -> WavFile:
        """Return what to train on: a recording itself, or its copy."""
        if wav.sample_rate == self.sample_rate:
            return wav
        ratio = Fraction(self.sample_rate, wav.sample_rate)
        copy = self.cache / wav.path.relative_to(self.root)
        if copy.suffix != ".wav":
            copy = copy.with_name(f"{copy.name}.wav")
        return WavFile(copy, self.sample_rate, math.ceil(wav.frames * ratio))

    def merge_logs(self) -> None:
        """Make one log of the shards' and the rest."""
        if others := {*self.cache.glob(_LOGS)} - {self._log}:
            lines = [_line(key, row) for key, row in self._rows.items()]
            write_atomically(self._log, "".join(lines).encode())
            for log in others:
                log.unlink()

    @property
    def _log(self) -> Path:
        name = "-{}-of-{}".format(*self.shard) if self.shard else ""
        return self.cache / _LOGS.replace("*", name)

    @functools.cached_property
    def _rows(self) -> dict[tuple, list]:
        """What is in the logs: by a file's name and state, what it was."""
        rows = {}
        for log in self.cache.glob(_LOGS):
            for line in log.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a kill cut it short
                    name, state, *row = json.loads(line)
                    rows[(name, *state)] = row
        return rows

    def _logged(self, paths: list[Path], keys: list) -> list[WavFile | None]:
        """Return the header of each file that is, with its copy, as it was."""
        rows = [self._rows.get(key) for key in keys]
        both = zip(paths, rows, strict=True)
        found = [row and WavFile(path, *row[1:]) for path, row in both]
        copied = [i for i, row in enumerate(rows) if row and row[0] is not None]
        copies = stats([self.used(found[i]).path for i in copied])
        for i, stat in zip(copied, copies, strict=True):
            if stat is None or stat.st_size != rows[i][0]:
                found[i] = None
        return found

    def _look_at(self, path: Path, mono: bool) -> tuple:
        """Return what was found in a file, and the size of its copy."""
        try:
            wav, size = check_header(path, self.sample_rate, mono), None
            samples = read_samples(wav)
            if mono and wav.sample_rate != self.sample_rate:
                size = self._write_copy(wav, samples)
        except BadAudio as bad:
            return bad, None
        return wav, size

    def _write_copy(self, wav: WavFile, samples: np.ndarray) -> int:
        """Write a copy nothing of which is clipped or rounded away."""
        resampled = resample(samples, wav.sample_rate, self.sample_rate)
        if np.ptp(resampled) <= _RESIDUE * np.ptp(samples):
            raise BadAudio(SILENT, wav.path, f"at {self.sample_rate} Hz")
        if wav.subtype in _FITS_16_BIT and fits_16_bits(resampled):
            resampled = to_16_bits(resampled)
        data = wav_bytes(resampled, self.sample_rate)
        write_atomically(self.used(wav).path, data)
        return len(data)


def _line(key: tuple, row: list) -> str:
    # Its end in front: a last line that a kill cut short stays alone.
    return "\n" + json.dumps([key[0], key[1:], *row])
