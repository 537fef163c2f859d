"""Settings of a Mixer that reverberates and adds second noises."""

MIXER = {
    "snr_db": (0.0, 40.0),
    "level_db": (-35.0, -15.0),
    "gap_seconds": 0.2,
    "two_noises_share": 0.5,
    "coloured_share": 0.0,
    "coloured_speech_share": 0.0,
    "band_limited_share": 0.0,
    "speech_speeds": (1.0,),
    "noise_speeds": (1.0,),
    "noise_by_duration": False,
    "reverb_share": 0.5,
    "early_seconds": 0.05,
    "peak": 0.99,
}
