"""What is held out depends on names alone, and divides no group."""

from speechbrain_dfkd.data.hold_out import hold_out, hold_out_speakers


def test_a_group_is_held_out_whole():
    groups = ["a", "b", "c", "a"]
    split = hold_out([10, 20, 30, 40], groups, 0.5, "numbers")
    assert split == ([20], [10, 30, 40])


def test_a_speaker_is_held_out_whole():
    names = [f"{speaker}_{i}" for speaker in "abcdefgh" for i in (1, 2)]
    speakers = {name: name[0] for name in names}
    held = hold_out_speakers(speakers, speakers, {"test": 0.1})
    assert list(held["test"]) == ["e_1", "e_2"]
    assert len(held["train"]) == 14
