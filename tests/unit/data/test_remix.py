"""Remixed segments: speech as it was, noise of others at a known ratio."""

import pickle
import re

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data.dataset import RandomCrop
from speechbrain_dfkd.data.manifest import read_json, write_json
from speechbrain_dfkd.data.mixing import rms
from speechbrain_dfkd.data.remix import Remix, remix_recordings
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.files import stable_hash

RATE, SEGMENT = 1000, 0.4
# Cycles in a segment: each recording's noise is a tone, the last has none.
TONES = {"a_1": 20, "a_2": 40, "b_1": 60, "b_2": 0}
FRAMES = {"a_1": 1000, "a_2": 1001, "b_1": 200, "b_2": 400}


@pytest.fixture
def manifest(tmp_path):
    draw, entries = np.random.default_rng(0), {}
    for name, cycles in TONES.items():
        frames = FRAMES[name]
        clean = draw.normal(size=frames) * 0.1
        tone = np.sin(2 * np.pi * cycles / SEGMENT / RATE * np.arange(frames))
        entries[name] = {"length": frames / RATE}
        for side, wav in (("noisy", clean + 0.3 * tone), ("clean", clean)):
            path = tmp_path / f"{side}_{name}.wav"
            soundfile.write(path, wav, RATE, subtype="FLOAT")
            entries[name][f"{side}_wav"] = str(path)
    path = tmp_path / "train.json"
    write_json(path, entries)
    return path


def segments(manifest, epoch=0, seed=1, **options):
    counter = EpochCounter(limit=99)
    counter.current = epoch
    dataset = remix_recordings(
        manifest, SEGMENT, RATE, seed, counter, **options
    )
    assert len(pickle.dumps(dataset)) > 0, "workers get a copy"
    return {
        item["id"]: (item["noisy_sig"], item["clean_sig"]) for item in dataset
    }


def tones(noise):
    """Return which recordings' noises are in a sum of tones."""
    spectrum = torch.fft.rfft(noise).abs() / len(noise) * 2
    cycles = {20: "a_1", 40: "a_2", 60: "b_1"}
    share = len(noise) / (SEGMENT * RATE)
    return {
        name
        for tone, name in cycles.items()
        if spectrum[round(tone * share)] > 0.2 * spectrum.max()
    }


def test_noise_is_of_any_recording_and_of_one_or_two(manifest):
    found = [
        (name, frozenset(tones(noisy - clean)))
        for epoch in range(30)
        for name, (noisy, clean) in segments(manifest, epoch).items()
    ]
    for name in TONES:
        sources = {
            source for own, pair in found if own == name for source in pair
        }
        assert sources == {"a_1", "a_2", "b_1"}
    sizes = [len(pair) for _, pair in found]
    assert set(sizes) == {1, 2}
    # A half has two noises, a third of which are twice the same.
    assert np.mean([size == 2 for size in sizes]) == pytest.approx(
        1 / 3, abs=0.12
    )


def test_ratios_fill_their_range(manifest):
    ratios = []
    for epoch in range(30):
        for noisy, clean in segments(manifest, epoch, snr_db=[3, 7]).values():
            ratio = rms(clean) / rms(noisy - clean)
            ratios.append(20 * np.log10(ratio))
    assert min(ratios) == pytest.approx(3, abs=0.2) and min(ratios) > 2.99
    assert max(ratios) == pytest.approx(7, abs=0.2) and max(ratios) < 7.01


def test_ratios_are_minus_5_to_15_db_and_noises_coloured_by_default(manifest):
    ratios = [
        20 * np.log10(rms(clean) / rms(noisy - clean))
        for epoch in range(30)
        for noisy, clean in segments(manifest, epoch).values()
    ]
    assert -5.01 < min(ratios) < -4 and 14 < max(ratios) < 15.01
    default, coloured = segments(manifest), segments(manifest, coloured=True)
    assert all(torch.equal(default[n][0], coloured[n][0]) for n in TONES)


def test_noise_is_taken_from_all_of_a_recording(manifest, tmp_path):
    # A ramp as noise tells where it was read; of four samples, three places.
    entry = read_json(manifest)["b_2"] | {"length": 6 / RATE}
    for side, wav in (("noisy", np.arange(6) / 8), ("clean", np.zeros(6))):
        soundfile.write(entry[f"{side}_wav"], wav, RATE, subtype="FLOAT")
    crop = RandomCrop(SEGMENT, RATE, 1, EpochCounter(limit=99))
    remix = Remix(crop, [entry], (0, 0))
    draw = np.random.default_rng(0)
    starts = {float(remix._read(draw, 4)[0]) * 8 for _ in range(50)}
    assert starts == {0, 1, 2}
    # A longer segment repeats it.
    assert (remix._read(draw, 15) * 8).tolist() == [
        *range(6),
        *range(6),
        0,
        1,
        2,
    ]


def test_a_second_noise_is_up_to_10_db_below_the_first(manifest):
    counter = EpochCounter(limit=99)
    crop = RandomCrop(SEGMENT, RATE, 1, counter)
    pairs = read_json(manifest)
    remix = Remix(crop, [*pairs.values()], (5, 5), coloured=False)
    time, levels = np.arange(400) / 400, []
    clean_wav = pairs["a_1"]["clean_wav"]
    for epoch in range(60):
        counter.current = epoch
        # The level of a recording is not that of its noise in the mixture.
        tones = iter(
            torch.from_numpy(level * np.sin(2 * np.pi * cycles * time))
            for level, cycles in ((0.1, 20), (0.02, 40))
        )
        remix._read = lambda draw, frames, tones=tones: next(tones)
        noise = remix(clean_wav, "a_1", 1.0) - crop(clean_wav, "a_1", 1.0)
        first, second = -torch.fft.rfft(noise).imag[[20, 40]]
        assert first > 0 and second > -1e-3 * first, "sines are added"
        if second > 1e-3 * first:
            levels.append(20 * float(torch.log10(second / first)))
    assert 20 < len(levels) < 40
    assert -10.01 < min(levels) < -8 and -2 < max(levels) < 0.01


def test_speech_is_the_segment_of_the_utterance(manifest, tmp_path):
    for name, (noisy, clean) in segments(manifest).items():
        assert len(noisy) == len(clean) == min(400, FRAMES[name])
        whole, _ = soundfile.read(
            tmp_path / f"clean_{name}.wav", dtype="float32"
        )
        places = np.lib.stride_tricks.sliding_window_view(whole, len(clean))
        assert (places == clean.numpy()).all(1).any()


def test_mixtures_are_a_function_of_seed_and_epoch(manifest):
    def same(first, second):
        return all(torch.equal(first[n][0], second[n][0]) for n in TONES)

    reference = segments(manifest)
    assert same(reference, segments(manifest))
    assert not same(reference, segments(manifest, epoch=1))
    assert not same(reference, segments(manifest, seed=2))


def test_noise_is_another_for_another_seed_or_epoch(manifest):
    # These recordings are no longer than a segment: their speech is the same.
    reference = segments(manifest)
    for options in ({"epoch": 1}, {"seed": 2}):
        others = segments(manifest, **options)
        for name in ("b_1", "b_2"):
            assert torch.equal(others[name][1], reference[name][1])
            assert not torch.equal(others[name][0], reference[name][0])


def test_draws_do_not_change_with_versions_and_are_not_those_of_crops():
    counter = EpochCounter(limit=99)
    crop = RandomCrop(SEGMENT, RATE, 1, counter)
    draw = Remix(crop, [], (0, 0))._generator("a_1")
    key = stable_hash("remix", 1, counter.current, "a_1")
    assert draw.random() == np.random.default_rng(key).random()


def test_noises_are_coloured_unless_told_otherwise(manifest):
    crop = RandomCrop(SEGMENT, RATE, 1, EpochCounter(limit=99))
    pairs = read_json(manifest)
    default, coloured, plain = (
        Remix(crop, [*pairs.values()], (0, 0), **options)(
            pairs["a_1"]["clean_wav"], "a_1", 1.0
        )
        for options in ({}, {"coloured": True}, {"coloured": False})
    )
    assert torch.equal(default, coloured)
    assert not torch.allclose(default, plain, atol=1e-3)


@pytest.mark.parametrize(("level", "noisy"), [(0.25, False), (0.2501, True)])
def test_a_level_at_the_limit_is_silence(manifest, monkeypatch, level, noisy):
    monkeypatch.setattr("speechbrain_dfkd.data.remix.SILENCE", 0.25)
    crop = RandomCrop(SEGMENT, RATE, 1, EpochCounter(limit=99))
    pairs = read_json(manifest)
    remix = Remix(crop, [*pairs.values()], (0, 0), coloured=False)
    remix._read = lambda draw, frames: torch.full((frames,), level)
    utterance = pairs["a_1"]["clean_wav"], "a_1", 1.0
    assert torch.equal(remix(*utterance), crop(*utterance)) is not noisy


def test_speech_stays_alone_where_there_is_no_noise(manifest):
    entries = read_json(manifest)
    write_json(manifest, {"b_2": entries["b_2"]})
    ((noisy, clean),) = segments(manifest).values()
    assert torch.equal(noisy, clean)


@pytest.mark.parametrize("snr_db", [[5], [7, 3], 5, [0, 1, 2]])
def test_range_must_be_one(manifest, snr_db):
    message = f"snr_db must be [least, most] in dB, got {snr_db!r}; change"
    with pytest.raises(UserError, match=re.escape(message)):
        segments(manifest, snr_db=snr_db)


def test_repeats_are_other_segments_of_the_same_utterances(manifest):
    once, thrice = segments(manifest), segments(manifest, repeats=3)
    assert len(thrice) == 3 * len(once)
    for name, (noisy, _) in once.items():
        again = [thrice[f"{name}-{i}"][0] for i in (1, 2)]
        assert torch.equal(noisy, thrice[name][0])
        assert not torch.equal(again[0], again[1])
        assert len(again[0]) == len(again[1]) == len(noisy)


@pytest.mark.parametrize("repeats", [0, -1, 2.5, "many"])
def test_repeats_must_be_a_count(manifest, repeats):
    message = f"repeats must be an integer above 0, got {repeats!r}; change it"
    with pytest.raises(UserError, match=message):
        segments(manifest, repeats=repeats)


def test_noise_keeps_its_spectrum_unless_it_is_coloured(manifest):
    # A recording alone has no noise but its own tone, whose phase tells.
    entries = read_json(manifest)
    write_json(manifest, {"a_1": entries["a_1"]})
    ((plain, clean),) = segments(manifest, coloured=False).values()
    ((coloured, _),) = segments(manifest, coloured=True).values()
    assert tones(plain - clean) == tones(coloured - clean) == {"a_1"}
    assert not torch.allclose(plain, coloured, atol=1e-3)


@pytest.mark.parametrize("coloured", ["no", 1, None])
def test_coloured_must_be_a_boolean(manifest, coloured):
    message = f"coloured must be True or False, got {coloured!r}; change it"
    with pytest.raises(UserError, match=message):
        segments(manifest, coloured=coloured)
