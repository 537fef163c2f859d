"""An error names what is wrong, and lists stay short."""

import math

import pytest

from speechbrain_dfkd.errors import (
    Faults,
    UserError,
    check_setting,
    is_number,
    listing,
)


def test_a_setting_that_cannot_be_used_is_named():
    check_setting("valid_mixtures", 1, True, "at least 1")
    with pytest.raises(UserError) as caught:
        check_setting("valid_mixtures", 0, False, "at least 1")
    assert str(caught.value) == (
        "valid_mixtures must be at least 1, got 0; change it in --dataset"
    )


def test_truth_and_nan_are_no_numbers():
    assert is_number(1) and is_number(1.5, 1.5, 1.5)
    assert not is_number(1, 2) and not is_number(3, 1, 2)
    for value in (True, math.nan, "1", None):
        assert not is_number(value)


def test_a_long_list_is_cut_and_counted():
    names = ["a.wav", "b.wav", "c\n.wav"]
    assert listing(names, limit=2) == "  a.wav\n  b.wav\n  ... 3 in all"
    assert listing(names, limit=3) == "  a.wav\n  b.wav\n  c\\n.wav"


def test_faults_are_raised_together():
    faults = Faults()
    faults.raise_if_any()
    for number in (1, 2):
        with faults.kept():
            raise UserError(f"fault {number}")
    with pytest.raises(UserError, match=r"^fault 1\n\nfault 2$"):
        faults.raise_if_any()
