"""Half precision keeps waveforms of any level, and only whole files count."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data.dataset import RandomCrop
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.teacher.cache import TeacherCache, bytes_of


@pytest.fixture
def cache(tmp_path):
    return TeacherCache(tmp_path / "new")


@pytest.mark.parametrize("level", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_any_level_keeps_eleven_bits(cache, level):
    torch.manual_seed(0)
    # Down to 80 dB below the peak.
    wav = level * torch.randn(4000) * torch.logspace(0, -4, 4000)
    cache.write("a", wav)
    read = cache.read("a", 0, 4000)
    assert read.dtype == torch.float32
    assert torch.allclose(read, wav, rtol=2**-11, atol=0)
    error = (read - wav).double() / level
    assert error.square().mean() < 1e-6 * (wav.double() / level).square().mean()


@pytest.mark.parametrize("peak", [65504.0, 3.4e38, 2.0**-149, 0.0, -1.0])
def test_extreme_peaks_are_kept(cache, peak):
    wav = torch.tensor([peak, 0.0])
    cache.write("a", wav)
    assert cache.is_whole("a", 2)
    assert torch.allclose(cache.read("a", 0, 2), wav, rtol=2**-11, atol=1e-45)


def test_any_part_can_be_read(cache):
    wav = torch.arange(9.0)
    cache.write("with/odd: characters", wav)
    for start in range(9):
        part = cache.read("with/odd: characters", start, 9 - start)
        assert part.equal(wav[start:])


def test_only_a_whole_file_counts(cache):
    assert not cache.is_whole("a", 3)
    cache.write("a", torch.ones(3))
    content = cache.path("a").read_bytes()
    assert cache.is_whole("a", 3) and len(content) == bytes_of(3)
    for broken in (b"", content[:-1], content + b"0", bytes(len(content))):
        cache.path("a").write_bytes(broken)
        assert not cache.is_whole("a", 3)
    cache.path("a").unlink()
    cache.path("a").mkdir()
    assert not cache.is_whole("a", 3)


def test_a_file_lost_in_training_is_named(cache):
    with pytest.raises(UserError, match=r"f16 must have 3 samples .* anew"):
        cache.read("a", 0, 3)
    cache.write("a", torch.ones(3))
    with pytest.raises(UserError, match="must have 4 samples"):
        cache.read("a", 2, 2)


def test_a_crop_is_that_of_the_recordings(cache):
    counter = EpochCounter(limit=9)
    crop = RandomCrop(0.25, 16, seed=0, epoch_counter=counter)
    cache.write("a", torch.arange(32.0))
    cut = pickle.loads(pickle.dumps(partial(cache.read_crop, crop)))
    start, _ = crop.span("a", 2.0)
    assert cut("a", 2.0).equal(torch.arange(32.0)[start : start + 4])
    cache.write("short", torch.arange(3.0))
    assert cut("short", 3 / 16).equal(torch.arange(3.0))


def test_the_scale_is_exact(cache):
    """A power of two: what float16 has is kept as it is."""
    wav = torch.from_numpy(np.linspace(-1, 1, 99).astype("f2").astype("f4"))
    cache.write("a", wav)
    assert cache.read("a", 0, 99).equal(wav)
