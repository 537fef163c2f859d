"""The plot of a comparison: every arm's difference to the first."""

import importlib.util
import io

from speechbrain_dfkd.comparison.analysis import RowIndex, heading, is_void
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


def difference_figure(results: ComparisonResults, rows: list):
    """Draw each arm's difference to the first in PESQ-WB and SI-SDR.

    A dot is the mean over seeds, small circles are the seeds, the dark bar is
    the interval of other seeds, the pale one of other seeds and clips.

    Arguments
    ---------
    results : ComparisonResults
        Names the arms.
    rows : list of Row
        What ``speechbrain_dfkd.comparison.analysis.all_rows`` returned.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each of the two metrics.

    Raises
    ------
    UserError
        If matplotlib is not installed.
    """
    require_matplotlib()
    # Not pyplot, which would look for a screen and keep the figure.
    from matplotlib.figure import Figure

    baseline, *arms = results.arms
    index = RowIndex(rows)
    figure = Figure((10, 1.6 + 0.45 * len(arms)), layout="constrained")
    panels = figure.subplots(1, len(PLOTTED), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, PLOTTED, strict=True):
        for height, arm in enumerate(arms):
            _draw_arm(panel, height, index, arm, metric)
        panel.axvline(0, color="black", linewidth=1)
        panel.set_xlabel(f"{heading(metric)}: difference to {baseline}")
        # Few ticks of few digits: differences can be thousandths.
        panel.locator_params(axis="x", nbins=5, steps=[1, 2, 4, 5, 10])
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(arms)), arms)
    panels[0].set_ylim(len(arms) - 0.5, -0.5)  # the first arm on top
    _explain(figure, panels[0], results, rows)
    return figure


def as_png(figure) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _draw_arm(panel, height, index, arm, metric):
    styles = (
        ("difference_bootstrap", CLIPS_COLOUR, 9),
        ("difference", SEEDS_COLOUR, 3),
    )
    for quantity, colour, width in styles:
        row = index.get(quantity, arm, metric)
        if row and row.low is not None:
            ends = [row.low, row.high]
            panel.plot(
                ends, [height] * 2, color=colour, linewidth=width,
                solid_capstyle="butt",
            )  # fmt: skip
    seeds = [
        row.value
        for row in index.all("difference_by_seed", arm)
        if row.metric == metric
    ]
    panel.plot(
        seeds, [height + 0.25] * len(seeds), "o", color="black",
        markersize=4, markerfacecolor="none",
    )  # fmt: skip
    mean = index.get("difference", arm, metric)
    if mean:
        panel.plot([mean.value], [height], "o", color=SEEDS_COLOUR)


def _explain(figure, panel, results, rows):
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
        if is_void(results, rows)
        else []
    )
    marks += ["INCOMPLETE"] if results.missing() else []
    figure.suptitle(" - ".join([results.comparison["name"], *marks]))
