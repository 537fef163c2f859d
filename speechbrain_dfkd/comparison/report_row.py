"""A number of a comparison's report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One number of the report, and one line of its CSV file.

    Arguments
    ---------
    quantity : str
        What the number is: ``mean``, ``difference`` (to the results' first
        arm, paired by seed), ``difference_bootstrap``, ``difference_by_seed``,
        ``snr_mean``, ``snr_difference``, ``gate_difference`` (teacher minus the
        plan's baseline on validation), ``tuning_mean`` (on validation),
        ``kd_weight`` (as a job measured it), ``step_seconds`` or ``step_ratio``
        (to the first arm).
    system : str
        An arm, "noisy" or "teacher".
    metric : str
        Empty where the quantity has none.
    condition : str
        A class of clips, a seed, a setting or a margin.
    value, low, high, p, p_holm : float, optional
        The number, its interval, its p value, and that corrected over arms.
    seeds, clips : int, optional
        From how many.
    """

    quantity: str
    system: str
    metric: str = ""
    condition: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds: int | None = None
    clips: int | None = None
