"""How weights get our names."""

import torch

from speechbrain_dfkd.teacher.asteroid import joined, renamed


def test_rules_apply_in_turn_and_others_stay():
    rules = [(r"^a\.", "b."), (r"^b\.(\d)", r"c.\1"), (r"x$", lambda m: "y")]
    state = {"a.1.x": 1, "b.2": 2, "d": 3}
    assert renamed(state, rules) == {"c.1.y": 1, "c.2": 2, "d": 3}


def test_pairs_are_joined_in_their_order():
    state = {"0.im.w": torch.zeros(1), "0.re.w": torch.ones(1)}
    (key, value), *rest = joined(
        state, r"\.w$", (".re.", ".im."), ".", torch.cat
    ).items()
    assert (key, value.tolist(), rest) == ("0.w", [1, 0], [])


def test_half_a_pair_stays():
    state = {"0.re.w": 1, "1.im.w": 2, "other.w": 3}
    assert joined(state, r"\.w$", (".re.", ".im."), ".", sum) == state
