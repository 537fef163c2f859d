"""Times and peak memory for the benchmarks, measured side by side."""

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path


def time_in_turn(works: dict, rounds: int) -> dict:
    """Time functions in turn (A B A B), after a warm-up.

    Arguments
    ---------
    works : dict of str to callable
        What to time, by name.
    rounds : int
        How often each is timed.

    Returns
    -------
    dict of str to list of float
        Wall times in seconds, one a round: a busy machine disturbs all of a
        round alike, so ratios are to be taken within rounds.
    """
    times = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def median_ratio(numerators, denominators) -> float:
    """Return the median of the ratios within each round."""
    pairs = zip(numerators, denominators, strict=True)
    return statistics.median(a / b for a, b in pairs)


def peak_megabytes() -> float:
    """Return the peak resident memory of this process so far.

    From Linux's /proc: the figure of getrusage is inherited from the parent.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1e3


def rise_of_peak(work) -> float:
    """Return by how many MB a call lifts this process's peak memory."""
    before = peak_megabytes()
    work()
    return peak_megabytes() - before


def in_fresh_process(script, *arguments: str) -> float:
    """Run a script with arguments and return the last number it prints."""
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
