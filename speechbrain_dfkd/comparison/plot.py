"""The plot of a comparison: every arm's difference to the first."""

import importlib.util
import io
from typing import TYPE_CHECKING

import pandas as pd

from speechbrain_dfkd.comparison.analysis import heading, is_void, select
from speechbrain_dfkd.comparison.results import ComparisonResults
from speechbrain_dfkd.errors import UserError

if TYPE_CHECKING:  # it need not be installed
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTTED = ("pesq_wb", "si_sdr")
POINT = {"marker": "o", "linestyle": "none"}
MEAN = {**POINT, "color": "#1f4e79"}
ONE_SEED = {**POINT, "color": "black", "ms": 4, "markerfacecolor": "none"}
OTHER_SEEDS = {"color": "#1f4e79", "linewidth": 3}
OTHER_CLIPS = {"color": "#9dbcd9", "linewidth": 9}


def require_matplotlib() -> None:
    """Raise a ``UserError`` if the plot could not be drawn at the end."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "matplotlib must be installed for a comparison's plot, got none; "
            'run: pip install -e ".[compare]"'
        )


def difference_figure(
    results: ComparisonResults, numbers: pd.DataFrame
) -> "Figure":
    """Return matplotlib's figure of each arm's difference to the first."""
    require_matplotlib()
    # Not pyplot, which would look for a screen and keep the figure.
    from matplotlib.figure import Figure

    baseline, *arms = results.arms
    figure = Figure((10, 1.6 + 0.45 * len(arms)), layout="constrained")
    panels = figure.subplots(1, len(PLOTTED), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, PLOTTED, strict=True):
        _draw_arms(panel, numbers, arms, metric)
        panel.axvline(0, color="black", linewidth=1)
        panel.set_xlabel(f"{heading(metric)}: difference to {baseline}")
        # Few ticks of few digits: differences can be thousandths.
        panel.locator_params(axis="x", nbins=5, steps=[1, 2, 4, 5, 10])
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(arms)), arms)
    panels[0].set_ylim(len(arms) - 0.5, -0.5)  # the first arm on top
    percent = f"{100 * results.comparison['confidence']:g} %"
    styles = {
        "mean over seeds": MEAN,
        f"{percent}, other seeds": OTHER_SEEDS,
        f"{percent}, other seeds and clips": OTHER_CLIPS,
        "one seed": ONE_SEED,
    }
    for label, style in styles.items():
        panels[0].plot([], [], label=label, **style)
    figure.legend(loc="outside lower center", ncols=4)
    marks = [results.comparison["name"]]
    if is_void(results, numbers):
        marks.append("VOID: the teacher is not better by the margin")
    if results.missing():
        marks.append("INCOMPLETE")
    figure.suptitle(" - ".join(marks))
    return figure


def as_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _draw_arms(
    panel: "Axes", numbers: pd.DataFrame, arms: list, metric: str
) -> None:
    of_metric = numbers[numbers.metric == metric]
    by_seed = of_metric[of_metric.quantity == "difference_by_seed"]
    of_both = select(numbers, "difference_bootstrap", arms, metric)
    of_seeds = select(numbers, "difference", arms, metric)
    for height, (wide, narrow) in enumerate(
        zip(of_both, of_seeds, strict=True)
    ):
        for row, style in ((wide, OTHER_CLIPS), (narrow, OTHER_SEEDS)):
            ends, heights = [row.low, row.high], [height] * 2
            panel.plot(ends, heights, solid_capstyle="butt", **style)
        seeds = by_seed.value[by_seed.system == arms[height]]
        panel.plot(seeds, [height + 0.25] * len(seeds), **ONE_SEED)
        panel.plot([narrow.value], [height], **MEAN)
