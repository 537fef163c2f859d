"""Mixtures have the ratio, level, gaps and reverberation that were asked for."""

import re

import numpy as np
import pytest
from mixer_settings import MIXER

from speechbrain_dfkd.data.mixing import Mixer, reverberate
from speechbrain_dfkd.errors import UserError

RATE, FRAMES = 1000, 4000
ONE = {**MIXER, "two_noises_share": 0.0, "reverb_share": 0.0}


def piece(length=10**9):
    """Return a function that draws Gaussian pieces of at most a length."""

    def draw(most, rng):
        return rng.standard_normal(min(most, length)).astype("float32")

    return draw


def click(most, rng):
    """Draw an impulse, of which a filter makes its response."""
    wav = np.zeros(most, "float32")
    wav[100] = 1
    return wav


def mix(draw_speech=None, draw_noise=None, draw_response=None, **settings):
    return Mixer(**{**ONE, **settings}).mix(
        draw_speech or piece(),
        draw_noise or piece(),
        draw_response,
        FRAMES,
        RATE,
        np.random.default_rng(3),
    )


def decibels(wav):
    return 10 * np.log10(np.mean(np.square(wav, dtype="float64")))


@pytest.mark.parametrize("two", [0.0, 1.0])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_ratio_and_level_are_exact(snr_db, two):
    noisy, clean = mix(
        snr_db=(snr_db, snr_db), level_db=(-30, -30), two_noises_share=two
    )
    assert noisy.dtype == clean.dtype == np.float32
    assert decibels(clean) - decibels(noisy - clean) == pytest.approx(
        snr_db, abs=1e-3
    )
    assert decibels(noisy) == pytest.approx(-30, abs=1e-3)


def test_ranges_are_filled_and_kept():
    mixer = Mixer(**{**ONE, "snr_db": (0, 10), "level_db": (-35, -25)})
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        noisy, clean = mixer.mix(piece(), piece(), None, FRAMES, RATE, rng)
        snr_db = decibels(clean) - decibels(noisy - clean)
        found.append((snr_db, decibels(noisy)))
    for values, (least, most) in zip(
        np.transpose(found), [(0, 10), (-35, -25)], strict=True
    ):
        assert least - 0.01 < values.min() < least + 1
        assert most - 1 < values.max() < most + 0.01
        assert np.mean(values) == pytest.approx((least + most) / 2, abs=0.8)


def test_a_loud_mixture_is_turned_down_as_a_whole():
    noisy, clean = mix(snr_db=(0, 0), level_db=(0, 0))
    assert max(abs(noisy).max(), abs(clean).max()) == pytest.approx(0.99)
    assert decibels(clean) - decibels(noisy - clean) == pytest.approx(
        0, abs=1e-3
    )


def test_a_target_louder_than_its_mixture_is_not_clipped():
    draw = piece()

    def opposite(most, rng):
        return -draw(most, np.random.default_rng(5))

    # Noise that takes 0.9 of the speech away.
    noisy, clean = mix(
        draw_speech=lambda most, rng: draw(most, np.random.default_rng(5)),
        draw_noise=opposite,
        snr_db=(20 * np.log10(1 / 0.9),) * 2,
        level_db=(-15, -15),
    )
    assert abs(clean).max() == pytest.approx(0.99)
    assert np.allclose(noisy, 0.1 * clean, atol=1e-3)


def test_two_noises_have_equal_power():
    tones = iter((100, 300))

    def tone(most, rng):
        cycles = next(tones)
        wav = np.sin(2 * np.pi * cycles * np.arange(most) / most)
        return (cycles * wav).astype("float32")

    noisy, clean = mix(draw_noise=tone, two_noises_share=1.0)
    first, second = np.abs(np.fft.rfft(noisy - clean))[[100, 300]]
    assert first > 1 and second == pytest.approx(first, rel=1e-3)


def test_two_noises_are_added():
    wav = piece()(FRAMES, np.random.default_rng(1))
    one, twice = (
        mix(draw_noise=lambda most, rng: wav, two_noises_share=share)
        for share in (0.0, 1.0)
    )
    assert np.allclose(one, twice, atol=1e-6)


def test_short_recordings_are_joined_with_gaps():
    _, clean = mix(draw_speech=lambda most, rng: np.ones(min(most, 700), "f4"))
    silent = np.flatnonzero(clean == 0)
    # 700 samples of speech and 200 of silence in turn.
    assert silent.tolist() == [
        *range(700, 900), *range(1600, 1800), *range(2500, 2700),
        *range(3400, 3600),
    ]  # fmt: skip
    assert np.ptp(clean[clean != 0]) == 0


def test_recordings_without_gaps_end_with_the_segment():
    def draw(most, rng):
        assert most > 0, "no recording fits into the rest"
        return np.ones(min(most, 1000), "f4")

    _, clean = mix(draw_speech=draw, gap_seconds=0.0)
    assert np.ptp(clean) == 0 and clean[0] > 0


def test_noise_shorter_than_the_segment_fills_it():
    noisy, clean = mix(draw_noise=piece(300), gap_seconds=0.1)
    noise = noisy - clean
    assert (noise == 0).sum() == pytest.approx(1000, abs=100)
    assert np.flatnonzero(noise)[-1] > FRAMES - 200


def test_a_silent_piece_is_drawn_again():
    drawn = []

    def mostly_silent(most, rng):
        drawn.append(len(drawn))
        return np.full(most, 0.1 if len(drawn) == 4 else 0.0, "f4")

    noisy, clean = mix(draw_noise=mostly_silent, snr_db=(0, 0))
    assert len(drawn) == 4
    assert np.isfinite(noisy).all() and (noisy != clean).all()
    with pytest.raises(
        UserError, match="must have sound.*silent segments.* recordings$"
    ):
        mix(draw_speech=lambda most, rng: np.zeros(most, "f4"))


def test_reverberation_keeps_the_direct_path_in_place():
    response = np.zeros(900, "f4")
    response[[40, 60, 800]] = [-0.5, 0.25, 0.125]  # direct, early, late
    dry = piece()(FRAMES, np.random.default_rng(1))
    whole, target = reverberate(dry, response, early=50)
    expected = -dry
    expected[20:] += 0.5 * dry[:-20]
    assert np.allclose(target, expected, atol=1e-5)
    expected[760:] += 0.25 * dry[:-760]
    assert np.allclose(whole, expected, atol=1e-5)


def test_early_reflections_end_where_they_should():
    impulse, response = np.eye(1, 9, 2)[0], np.ones(5)
    whole, target = reverberate(impulse, response, early=2)
    assert whole.round(6).tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert target.round(6).tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]


def test_target_of_a_reverberated_mixture_has_no_late_reflections():
    impulse = np.eye(1, FRAMES, 100, dtype="f4")[0]
    response = np.eye(1, 500, 0, dtype="f4")[0]
    response[[30, 400]] = 0.5

    def clean_of(**settings):
        return mix(
            draw_speech=lambda most, rng: impulse[:most],
            draw_response=lambda rng: response,
            early_seconds=0.05,
            **settings,
        )[1]

    assert np.flatnonzero(clean_of() > 1e-4).tolist() == [100]
    reverberated = clean_of(reverb_share=1.0)
    assert np.flatnonzero(reverberated > 1e-4).tolist() == [100, 130]


def test_the_ratio_is_that_of_all_reverberated_speech():
    dry = piece()(FRAMES, np.random.default_rng(1))
    response = np.eye(1, 900, 0, dtype="f4")[0]
    response[[30, 800]] = 0.5, 0.9
    noisy, clean = mix(
        draw_speech=lambda most, rng: dry,
        draw_response=lambda rng: rng.choice([response]),
        reverb_share=1.0,
        snr_db=(5, 5),
    )
    whole, target = reverberate(dry, response, early=50)
    gain = (clean @ target) / (target @ target)
    assert np.allclose(clean, gain * target, atol=1e-5)
    assert decibels(gain * whole) - decibels(
        noisy - gain * whole
    ) == pytest.approx(5, abs=1e-3)
    assert decibels(whole) > decibels(target) + 1


SHARE = "a share from 0 to 1"
RANGE = "[least, most] in dB"
DURATION = "a number of at least 0"
SPEEDS = "numbers from 0.1 to 10"


@pytest.mark.parametrize(
    ("name", "value", "constraint"),
    [
        ("snr_db", (5, -5), RANGE),
        ("snr_db", 5, RANGE),
        ("level_db", (-35,), RANGE),
        ("two_noises_share", 1.5, SHARE),
        ("coloured_share", "all", SHARE),
        ("coloured_speech_share", -0.5, SHARE),
        ("band_limited_share", 2, SHARE),
        ("reverb_share", -0.1, SHARE),
        ("gap_seconds", "short", DURATION),
        ("gap_seconds", -1, DURATION),
        ("early_seconds", -0.01, DURATION),
        ("speech_speeds", (20.0,), SPEEDS),
        ("speech_speeds", 1.0, SPEEDS),
        ("noise_speeds", (), SPEEDS),
        ("noise_speeds", (0.0, 1.0), SPEEDS),
        ("noise_speeds", (1.0, 10.5), SPEEDS),
        ("noise_by_duration", 1, "True or False"),
        ("peak", 0, "a number from 0.001 to 1"),
        ("peak", 1.01, "a number from 0.001 to 1"),
    ],
)
def test_impossible_settings_are_named(name, value, constraint):
    message = (
        f"mixer.{name} must be {constraint}, got {value!r}; change it in "
        "--dataset"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Mixer(**{**MIXER, name: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"two_noises_share": 0, "reverb_share": 1, "coloured_share": 1},
        {"gap_seconds": 0, "early_seconds": 0},
        {"speech_speeds": [0.1], "noise_speeds": (0.1, 10)},
        {"peak": 1},
        {"peak": 1e-3},
    ],
)
def test_settings_may_be_at_their_limits(settings):
    assert Mixer(**{**MIXER, **settings})


def test_silent_recordings_are_drawn_twenty_times():
    drawn = []

    def silent(most, rng):
        drawn.append(most)
        return np.zeros(most, "f4")

    with pytest.raises(
        UserError, match="^recordings must have sound .*got 20 silent"
    ):
        mix(draw_noise=silent)
    assert len(drawn) == 20
    # -99 dB re full scale is sound, -101 dB is none.
    mix(draw_noise=lambda most, rng: np.full(most, 1.1e-5, "f4"))
    with pytest.raises(UserError, match="remove the silent recordings"):
        mix(draw_noise=lambda most, rng: np.full(most, 0.9e-5, "f4"))


def test_coloured_noise_is_filtered_to_the_same_ratio():
    plain, coloured = (
        mix(draw_noise=click, snr_db=(5.0, 5.0), coloured_share=share)
        for share in (0.0, 1.0)
    )
    for noisy, clean in (plain, coloured):
        ratio = decibels(clean) - decibels(noisy - clean)
        assert ratio == pytest.approx(5, abs=1e-3)
    noises = [
        np.abs(noisy - clean) > 1e-4 for noisy, clean in (plain, coloured)
    ]
    assert noises[0].sum() == 1
    assert noises[1][100:103].all()
    assert not noises[1][:100].any()


def test_coloured_speech_is_filtered_in_its_target_too():
    plain, coloured = (
        mix(
            draw_speech=click,
            draw_noise=lambda most, rng: np.ones(most, "float32"),
            coloured_speech_share=share,
        )
        for share in (0.0, 1.0)
    )
    assert np.count_nonzero(plain[1]) == 1
    noisy, clean = coloured
    assert (np.abs(clean[100:103]) > 1e-4 * clean.max()).all()
    assert not clean[:100].any()
    # What noisy has and clean has not is the noise alone, left as it is.
    assert np.ptp(noisy - clean) < 1e-4 * np.abs(noisy).max()


def test_speech_and_noise_lose_bands_of_their_own():
    def mixtures(share):
        mixer = Mixer(**{**ONE, "band_limited_share": share})
        rng = np.random.default_rng(0)
        return [
            mixer.mix(piece(), piece(), None, 16000, 16000, rng)
            for _ in range(20)
        ]

    def top(wav):  # of a second: a bin is 1 Hz wide
        power = np.square(np.abs(np.fft.rfft(wav)))
        return np.nonzero(power > 1e-3 * power.mean())[0].max()

    for noisy, clean in mixtures(0.0):
        assert top(clean) > 7990 and top(noisy - clean) > 7990
    edges = [(top(clean), top(noisy - clean)) for noisy, clean in mixtures(1.0)]
    assert sum(abs(one - other) > 100 for one, other in edges) > 15
    assert max(map(max, edges)) <= 8000 and min(map(min, edges)) < 6700


@pytest.mark.parametrize(
    "setting", ["coloured_share", "coloured_speech_share", "band_limited_share"]
)
def test_half_of_the_tracks_are_filtered_at_a_share_of_a_half(setting):
    mixer = Mixer(**{**ONE, setting: 0.5})
    rng, filtered = np.random.default_rng(0), 0
    for _ in range(60):
        noisy, clean = mixer.mix(click, click, None, FRAMES, 16000, rng)
        track = noisy - clean if setting == "coloured_share" else clean
        filtered += np.sum(abs(track) > 1e-3 * abs(track).max()) > 1
    assert 20 < filtered < 40


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
@pytest.mark.parametrize("kind", ["speech", "noise"])
def test_at_another_speed_the_pitch_is_another(kind, speed):
    def tone(most, rng):
        return np.sin(2 * np.pi * 100 / RATE * np.arange(most)).astype("f4")

    noisy, clean = mix(**{f"draw_{kind}": tone, f"{kind}_speeds": (speed,)})
    track = clean if kind == "speech" else noisy - clean
    assert len(track) == FRAMES
    hertz = np.fft.rfftfreq(FRAMES, 1 / RATE)
    heard = hertz[np.abs(np.fft.rfft(track)).argmax()]
    assert heard == pytest.approx(100 * speed, abs=0.5)
    # The whole segment sounds, to its end.
    assert decibels(track[-100:]) == pytest.approx(decibels(track), abs=1)


@pytest.mark.parametrize("speeds", [(0.5, 2.0), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("kind", ["speech", "noise"])
def test_each_of_the_speeds_is_played(kind, speeds):
    heard = set()

    def count(most, rng):
        heard.add(most)
        return piece()(most, rng)

    mixer = Mixer(**{**ONE, f"{kind}_speeds": speeds})
    rng = np.random.default_rng(0)
    draws = {"speech": piece(), "noise": piece(), kind: count}
    for _ in range(50):
        mixer.mix(draws["speech"], draws["noise"], None, FRAMES, RATE, rng)
    assert heard == {speed * FRAMES for speed in speeds}
