"""The plot shows the numbers of the report, legibly."""

from itertools import pairwise

import pytest

from speechbrain_dfkd.comparison import plot
from speechbrain_dfkd.comparison.analysis import all_rows
from speechbrain_dfkd.errors import UserError


@pytest.fixture
def jobs(job):
    """Return ``jobs(gain)``: dfkd gains it, more or less, clean loses it."""

    def make(gain):
        gains = {"none": 0, "dfkd": gain, "clean": -gain}
        return [
            job(arm, seed, [1 + by * seed / 2, 2 + by, 3])
            for arm, by in gains.items()
            for seed in (1, 2, 3)
        ]

    return make


def test_the_plot_shows_the_means_seeds_and_intervals_of_the_rows(
    results, jobs, index_of
):
    found = results(jobs(0.1))
    index = index_of(found)
    panels = plot.difference_figure(found, all_rows(found)).axes
    for panel, metric in zip(panels, ("pesq_wb", "si_sdr"), strict=True):
        drawn = [list(line.get_xdata()) for line in panel.lines]
        for arm in ("dfkd", "clean"):
            paired = index.get("difference", arm, metric)
            crossed = index.get("difference_bootstrap", arm, metric)
            seeds = index.all("difference_by_seed", arm)
            assert [paired.value] in drawn
            assert [paired.low, paired.high] in drawn
            assert [crossed.low, crossed.high] in drawn
            assert [s.value for s in seeds if s.metric == metric] in drawn


@pytest.mark.parametrize("gain", [0.2, 0.0014, 0.0004])
def test_the_labels_of_the_axes_keep_apart(results, jobs, gain):
    found = results(jobs(gain))
    figure = plot.difference_figure(found, all_rows(found))
    plot.as_png(figure)
    for panel in figure.axes:
        low, high = panel.get_xlim()
        boxes = [
            label.get_window_extent()
            for tick, label in zip(
                panel.get_xticks(), panel.get_xticklabels(), strict=True
            )
            if low <= tick <= high
        ]
        assert len(boxes) >= 3
        for left, right in pairwise(boxes):
            assert right.x0 - left.x1 > left.width / 3


def test_a_missing_matplotlib_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr(plot.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install .*compare"):
        plot.require_matplotlib()
