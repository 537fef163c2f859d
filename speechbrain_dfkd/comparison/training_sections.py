"""The sections of a comparison's report about its trainings."""

from collections.abc import Iterator

from speechbrain_dfkd.comparison import tables
from speechbrain_dfkd.comparison.comparison_results import (
    SPLITS,
    ComparisonResults,
)
from speechbrain_dfkd.comparison.statistics import choose_setting
from speechbrain_dfkd.comparison.training_rows import setting_text


def training_sections(
    results: ComparisonResults, index: tables.RowIndex
) -> Iterator[str]:
    """Yield Markdown about tuning, weights, time, data and settings.

    Arguments
    ---------
    results : ComparisonResults
        What is finished.
    index : RowIndex
        The report's numbers.
    """
    yield from _tuning_section(results, index)
    yield from _weight_section(results, index)
    yield from _time_section(results, index)
    yield from _data_section(results)


def _tuning_section(results, index):
    if index.all("tuning_mean"):
        yield "## Tuning"
        yield (
            f"On validation, with seed {results.comparison['tuning_seed']}, "
            "which is not reported."
        )
        only = [arm for arm in results.all_arms if arm not in results.arms]
        if only:
            yield f"From that seed only, and not tested: {', '.join(only)}."
        chosen = {arm: _reported_setting(results, arm) for arm in results.arms}
        yield tables.tuning_table(index, chosen)
        for arm in results.arms:
            yield from _warn_of_other_setting(results, arm, chosen[arm])


def _reported_setting(results, arm):
    jobs = list(results.reported(arm).values())
    return setting_text(jobs[0].setting) if jobs else None


def _warn_of_other_setting(results, arm, reported):
    jobs = results.tuning(arm)
    if jobs and reported is not None:
        best = choose_setting(jobs, results.comparison["tune_on"])
        if setting_text(best) != reported:
            yield (
                f"**{arm} was reported with {reported}, but {setting_text(best)} "
                "was best.**"
            )


def _weight_section(results, index):
    if index.all("kd_weight"):
        yield "## Measured weight of distillation"
        yield (
            "The kd_weight at which gradients have the ratio asked for, at the "
            "student's first weights; one for each seed."
        )
        settings = {
            arm: _reported_setting(results, arm) for arm in results.arms
        }
        yield tables.weight_table(index, settings)


def _time_section(results, index):
    yield "## Time of a training step"
    steps = {}
    for arm in results.arms:
        found = {job.steps for job in results.reported(arm).values()}
        steps[arm] = ", ".join(map(str, sorted(found))) or tables.NOTHING
    yield tables.time_table(index, results.arms, steps)
    yield (
        f"Medians over seeds; {results.comparison['side_by_side']} jobs side by "
        "side."
    )


def _data_section(results):
    plan = results.comparison
    clips = ", ".join(
        f"{len(next(iter(results.scored(split)), ('', {}))[1])} {split}"
        for split in SPLITS
    )
    yield "## Data, arms and command"
    yield f"Clips: {clips}. Seeds: {_seeds_text(results)}."
    lines = [[arm, _overrides(plan["arms"][arm])] for arm in results.all_arms]
    yield tables.markdown_table(["arm", "what it changes"], lines)
    held = [[key, f"`{value}`"] for key, value in plan["settings"].items()]
    if held:
        yield tables.markdown_table(["held for all arms", "value"], held)
    yield f"```bash\n{plan['command']}\n```"


def _seeds_text(results):
    """Return all seeds, then those of each arm that does not have them all."""
    everyone = results.comparison["seeds"]
    texts = [", ".join(map(str, everyone))]
    for arm in results.arms:
        own = sorted(results.seeds_of(arm))
        if own != sorted(everyone):
            texts.append(f"{arm} only {', '.join(map(str, own))}")
    return "; ".join(texts)


def _overrides(arm):
    return ", ".join(f"`{key}: {value}`" for key, value in arm.items())
