"""Tells how far a comparison is."""

import time
from datetime import timedelta


class Progress:
    """Prints a line when a job starts and when it has ended.

    Arguments
    ---------
    total : int
        Number of jobs.
    done : int
        How many of them were finished before.
    side_by_side : int
        Jobs at a time.
    """

    def __init__(self, total: int, done: int, side_by_side: int):
        self.total, self.done = total, done
        self.side_by_side = side_by_side
        self.seconds = []  # of the jobs finished now
        self.started_at = {}
        print(f"Jobs: {total}, {done} of them done before", flush=True)

    def started(self, name: str) -> None:
        """Note the start of a job."""
        self.started_at[name] = time.monotonic()
        print(f"{self._count()} started  {name}", flush=True)

    def finished(self, name: str) -> None:
        """Note the end of a job; say how long all will take."""
        self.seconds.append(time.monotonic() - self.started_at.pop(name))
        self.done += 1
        took = duration(self.seconds[-1])
        print(
            f"{self._count()} finished {name} in {took}; "
            f"about {duration(self.seconds_left())} left",
            flush=True,
        )

    def seconds_left(self) -> float:
        """Return the time that is left if jobs go on to take as long."""
        now = time.monotonic()
        mean = sum(self.seconds) / len(self.seconds)
        spent = sum(min(now - then, mean) for then in self.started_at.values())
        jobs = self.total - self.done
        return (jobs * mean - spent) / self.side_by_side

    def _count(self):
        width = len(str(self.total))
        return f"[{self.done:{width}}/{self.total}]"


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds.

    Example
    -------
    >>> duration(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))
