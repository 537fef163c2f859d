"""Too many unreadable recordings end a training."""

import pytest

from speechbrain_dfkd.data.mixtures import UnreadableFiles
from speechbrain_dfkd.errors import UserError


def test_files_are_named_in_the_log(caplog):
    unreadable = UnreadableFiles(0.1)
    for _ in range(5):
        unreadable.append([["b.wav", "a.wav"], *[[]] * 9])
    assert unreadable.finish(epoch=3) == {"unreadable": 2}
    assert "epoch 3: 2 recordings" in caplog.text
    assert "5 of 50 mixtures" in caplog.text
    assert caplog.text.index("a.wav") < caplog.text.index("b.wav")


def test_above_the_threshold_a_run_ends():
    unreadable = UnreadableFiles(0.01)
    unreadable.append([["a.wav"], *[[]] * 99])
    with pytest.raises(UserError, match="max_unreadable_share = 0.01.*2 of"):
        unreadable.append([["a.wav"]])
    short = UnreadableFiles(0.01)
    short.append([["a.wav"], []])
    with pytest.raises(UserError, match="1 of 2"):
        short.finish(epoch=1)
