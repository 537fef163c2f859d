"""The scores of all systems in one metric, as arrays."""

from dataclasses import dataclass

import numpy as np

from speechbrain_dfkd.comparison.comparison_results import (
    SYSTEMS,
    ComparisonResults,
)


@dataclass(frozen=True)
class ScoreTable:
    """One metric on the clips for which all systems have a score.

    Arguments
    ---------
    metric : str
        Its name.
    clips : list of str
        The utterances, U of them.
    scores : dict
        ``{system or arm: {seed: np.ndarray [U]}}``; a system that is trained
        once or not at all has the one seed None.
    undefined : int
        How many utterances are left out.
    """

    metric: str
    clips: list
    scores: dict
    undefined: int

    def only(self, chosen) -> "ScoreTable":
        """Return the table of the clips that ``chosen``, bool [U], marks."""
        scores = {
            system: {seed: values[chosen] for seed, values in of.items()}
            for system, of in self.scores.items()
        }
        marked = zip(self.clips, chosen, strict=True)
        clips = [clip for clip, keep in marked if keep]
        return ScoreTable(self.metric, clips, scores, self.undefined)

    def differences(self, arm: str, baseline: str):
        """Return the common seeds, and arm minus baseline [S, U]."""
        ours, theirs = self.scores.get(arm, {}), self.scores.get(baseline, {})
        seeds = [seed for seed in ours if seed in theirs]
        rows = [ours[seed] - theirs[seed] for seed in seeds]
        return seeds, np.array(rows).reshape(len(seeds), len(self.clips))


def score_table(
    results: ComparisonResults, metric: str, split: str = "test"
) -> ScoreTable:
    """Collect one metric's scores of all systems and arms.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    metric : str
        A clip for which it is undefined anywhere is left out everywhere.
    split : str
        "valid" or "test".

    Returns
    -------
    ScoreTable
    """
    found = {
        name: {None: results.systems[name][split]}
        for name in SYSTEMS
        if name in results.systems
    }
    for arm in results.arms:
        jobs = results.reported(arm)
        found[arm] = {seed: getattr(jobs[seed], split) for seed in jobs}
    everything = [scores for of in found.values() for scores in of.values()]
    everyone = list(everything[0]) if everything else []
    clips = [clip for clip in everyone if _has(everything, clip, metric)]
    values = {
        system: {
            seed: np.array([scores[clip][metric] for clip in clips], float)
            for seed, scores in of.items()
        }
        for system, of in found.items()
    }
    return ScoreTable(metric, clips, values, len(everyone) - len(clips))


def _has(everything, clip, metric):
    return all(scores[clip].get(metric) is not None for scores in everything)
