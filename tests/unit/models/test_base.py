"""What models refuse as input, and how they fill it up."""

import pytest
import torch

from speechbrain_dfkd.models.base import check_waveform, pad_to_frames


@pytest.mark.parametrize(
    ("noisy", "constraint"),
    [
        (torch.zeros(400), "have shape"),
        (torch.zeros(1, 1, 400), "have shape"),
        (torch.zeros(1, 400, dtype=torch.int16), "be floating point"),
        (torch.zeros(2, 0), "have samples"),
        (torch.full((1, 400), torch.nan), "be finite"),
        (torch.full((1, 400), torch.inf), "be finite"),
    ],
)
def test_bad_waveform_is_refused(noisy, constraint):
    with pytest.raises(ValueError, match=f"^noisy must {constraint}.*got.*; "):
        check_waveform(noisy)


def test_message_names_the_bad_items():
    noisy = torch.zeros(3, 400)
    noisy[1, 7] = torch.nan
    with pytest.raises(ValueError, match=r"items \[1\]"):
        check_waveform(noisy)


def test_values_are_not_read_where_there_are_none():
    check_waveform(torch.empty(1, 400, device="meta"))


@pytest.mark.parametrize(("n_samples", "filled"), [(1, 4), (4, 4), (5, 6)])
def test_zeros_fill_whole_frames(n_samples, filled):
    padded = pad_to_frames(torch.ones(1, n_samples), 4, 2)
    assert padded.shape == (1, filled) and padded.sum() == n_samples
