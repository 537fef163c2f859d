"""Batches that span a data set, and networks that are run without a trace."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from speechbrain_dfkd.training.student_start import fixed_batches, trial_copies


@pytest.mark.parametrize(
    ("size", "sizes"), [(5, [3, 2]), (6, [3, 3]), (100, [3, 3, 3]), (1, [1])]
)
def test_batches_span_the_data_and_repeat_nothing(size, sizes):
    data = [{"id": str(i)} for i in range(size)]
    batches = [[*map(int, b.id)] for b in fixed_batches(data, 3, 3)]
    assert [len(batch) for batch in batches] == sizes
    drawn = sorted(sum(batches, []))
    assert len(set(drawn)) == len(drawn)
    steps = [after - before for before, after in pairwise(drawn)]
    assert all(size // 9 <= step <= size // 9 + 1 for step in steps)
    assert all(batch[-1] - batch[0] >= size // 2 for batch in batches)


def test_a_trial_changes_neither_networks_nor_random_numbers():
    modules = nn.ModuleDict({"student": nn.BatchNorm1d(2)}).eval()
    before, state = copy.deepcopy(modules.state_dict()), torch.get_rng_state()
    with trial_copies(modules) as copies:
        assert copies["student"].training
        copies["student"](torch.randn(8, 2))
        assert copies["student"].num_batches_tracked == 1
    assert not modules["student"].training
    after = modules.state_dict()
    assert all(value.equal(after[key]) for key, value in before.items())
    assert torch.get_rng_state().equal(state)
