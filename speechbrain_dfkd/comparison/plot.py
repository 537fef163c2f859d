"""The plot of a comparison: every arm's difference to the first."""

import importlib.util
import io

import pandas as pd

from speechbrain_dfkd.comparison.analysis import heading, is_void, select
from speechbrain_dfkd.comparison.results import ComparisonResults
from speechbrain_dfkd.errors import UserError

PLOTTED = ("pesq_wb", "si_sdr")
SEEDS_COLOUR, CLIPS_COLOUR = "#1f4e79", "#9dbcd9"


def require_matplotlib():
    """Raise a ``UserError`` if the plot could not be drawn at the end."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "matplotlib must be installed for a comparison's plot, got none; "
            'run: pip install -e ".[compare]"'
        )


def difference_figure(results: ComparisonResults, numbers: pd.DataFrame):
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
    _explain(figure, panels[0], results, numbers)
    return figure


def as_png(figure) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _draw_arms(panel, numbers, arms, metric):
    styles = (
        ("difference_bootstrap", CLIPS_COLOUR, 9),
        ("difference", SEEDS_COLOUR, 3),
    )
    for quantity, colour, width in styles:
        for height, row in enumerate(select(numbers, quantity, arms, metric)):
            panel.plot(
                [row.low, row.high], [height] * 2, color=colour,
                linewidth=width, solid_capstyle="butt",
            )  # fmt: skip
    of_metric = numbers[numbers.metric == metric]
    by_seed = of_metric[of_metric.quantity == "difference_by_seed"]
    for height, arm in enumerate(arms):
        seeds = by_seed.value[by_seed.system == arm]
        panel.plot(
            seeds, [height + 0.25] * len(seeds), "o", color="black",
            markersize=4, markerfacecolor="none",
        )  # fmt: skip
    for height, row in enumerate(select(numbers, "difference", arms, metric)):
        panel.plot([row.value], [height], "o", color=SEEDS_COLOUR)


def _explain(figure, panel, results, numbers):
    percent = f"{100 * results.comparison['confidence']:g} %"
    keys = [
        *panel.plot([], [], "o", color=SEEDS_COLOUR, label="mean over seeds"),
        *panel.plot(
            [], [], color=SEEDS_COLOUR, linewidth=3,
            label=f"{percent}, other seeds",
        ),
        *panel.plot(
            [], [], color=CLIPS_COLOUR, linewidth=9,
            label=f"{percent}, other seeds and clips",
        ),
        *panel.plot(
            [], [], "o", color="black", markersize=4, markerfacecolor="none",
            label="one seed",
        ),
    ]  # fmt: skip
    figure.legend(handles=keys, loc="outside lower center", ncols=4)
    marks = (
        ["VOID: the teacher is not better by the margin"]
        if is_void(results, numbers)
        else []
    )
    marks += ["INCOMPLETE"] if results.missing() else []
    figure.suptitle(" - ".join([results.comparison["name"], *marks]))
