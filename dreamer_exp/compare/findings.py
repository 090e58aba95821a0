"""Findings: which group beats which, which pairs are not decided, and cautions about the figures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from dreamer_exp.compare.differences import ABSENT, as_typed, commits_of
from dreamer_exp.compare.group import SEED, Grouping, changed_settings, partition, signature, value_of
from dreamer_exp.compare.metrics import Outcome, only_at_end
from dreamer_exp.compare.model import Group, Pair
from dreamer_exp.compare.statistics import MOST_SEEDS, Cells, probability_of_improvement, seeds_to_decide

TASK_KEYS = (
    "env.name",
    "env.id",
    "env.scenario",
    "evaluation.protocol",
)  # groups that differ in one of them are not compared
MACHINE_KEYS = (
    "hardware.num_env_runners", "hardware.num_envs_per_env_runner", "hardware.num_gpus_per_learner", "algo.backend",
)  # fmt: skip  # "auto" resolves them by machine, and they affect results
SHOWN = 4  # names per line
FEW = range(2, 5)  # runs whose bootstrap intervals hold the true mean 50 % to 85 % of the time, not 95 %
UNEQUAL_STEPS = 1.1  # ratio of env steps, above which final values are hardly comparable
ENDED = ("finished", "interrupted")  # states of runs that ended as requested


def same_task(grouping: Grouping, places: Sequence[int]) -> list[list[int]]:
    """Return the groups at these places by task, in their order."""
    settings = [group.settings for group in grouping.groups]
    return partition(places, lambda place: tuple(repr(settings[place].get(key)) for key in TASK_KEYS))


def compare_pairs(
    grouping: Grouping, outcomes: Sequence[list[Outcome]], places: Sequence[int], lower_is_better: bool
) -> list[Pair]:
    """Return every pair of the groups at these places, the pairs of the first group first."""
    groups = grouping.groups
    return [
        _pair(groups[a], groups[b], _cells(outcomes[a], outcomes[b], grouping.pooled, lower_is_better))
        for a, b in combinations(places, 2)
    ]


def verdict(pair: Pair) -> str:
    """Return a pair's result in words."""
    interval = f"[{pair.probability.low:.2f}, {pair.probability.high:.2f}]"
    n = " and ".join(f"{n}" if n == of else f"{n} of {of}" for n, of in zip(pair.runs, pair.out_of, strict=True))
    figures = f"(P = {pair.probability.estimate:.2f} {interval}, n = {n})"
    if pair.decided:
        return f"{pair.better} beats {pair.other} {figures}"
    return f"{pair.better} against {pair.other}: not decided {figures}; {_more_seeds(pair.more_seeds)}"


def cautions(grouping: Grouping, outcomes: Sequence[list[Outcome]], metric: str, verdicts: int) -> Iterator[str]:
    """Yield what the figures leave out or mix, one line each.

    Args:
        grouping: The groups.
        outcomes: Outcomes of the runs that count, one list per group.
        metric: Metric of the outcomes.
        verdicts: Number of verdicts.
    """
    known = [(group.label, of_group) for group, of_group in zip(grouping.groups, outcomes, strict=True) if of_group]
    if verdicts > 1:
        yield f"Each verdict has its own level of 95 %: some of {verdicts} may be due to chance"
    if grouping.pooled:
        yield f"Pooled over {_first(grouping.pooled)}; runs are paired within the settings of both groups, if any"
    if keys := [key for key in grouping.differing if key in TASK_KEYS]:
        yield f"Groups of different tasks ({_first(keys)}) are not compared"
    elif keys := [key for key in grouping.differing if key.startswith("env.")]:
        yield f"Groups differ in {_first(keys)}: the better one may have an easier task or another scale"
    if keys := [key for key in grouping.differing if key in MACHINE_KEYS and _values(grouping, key) > 1]:
        yield f"Groups differ in {_first(keys)}: auto depends on the machine and the sweep's slot; set it to compare"
    if labels := [label for label, of_group in known if only_at_end(of_group, metric)]:
        yield f"Evaluated once in training: {_first(labels)}; set evaluation.every_env_steps for the time to a level"
    if labels := [label for label, of_group in known if len(of_group) in FEW]:
        yield f"Intervals over 2 to 4 runs are too narrow: {_first(labels)}"
    if labels := [label for label, of_group in known if len(of_group) == 1]:
        yield f"Single runs, whose spread is unknown: {_first(labels)}"
    for group, of_group in zip(grouping.groups, outcomes, strict=True):
        yield from _group_cautions(group, of_group)
    yield from _progress_cautions([one for _, of_group in known for one in of_group])


def _values(grouping: Grouping, key: str) -> int:
    """Count the values of a key among the groups that have it: an algorithm may lack it."""
    return len({repr(group.settings[key]) for group in grouping.groups if group.settings[key] != ABSENT})


def _group_cautions(group: Group, outcomes: list[Outcome]) -> Iterator[str]:
    left_out = [f"{run.name} ({run.state})" for run in group.runs if all(run is not one.run for one in outcomes)]
    if left_out and not outcomes:
        yield f"{group.label}: no run has a value yet: {_first(left_out)}"
    elif left_out:
        reason = "no value, or less than half of the env steps of their setting's longest run"
        yield f"{group.label}: left out ({reason}): {_first(left_out)}"
    seeds = Counter((signature(one.run), as_typed(one.run.config.get(SEED))) for one in outcomes)
    repeated = sorted({seed for (_, seed), count in seeds.items() if count > 1})
    if repeated:
        yield f"{group.label}: runs of the same seed are not independent: seed {_first(repeated)}"
    for run in (one.run for one in outcomes):
        if keys := changed_settings(run):
            yield f"{run.name}: resumed with changed settings: {_first(keys)}"
    commits = sorted({commit for one in outcomes if one.run.provenance for commit in commits_of(one.run)})
    if len(commits) > 1:
        yield f"{group.label}: runs of {len(commits)} versions of the code: {_first(commits)}"


def _progress_cautions(outcomes: list[Outcome]) -> Iterator[str]:
    if early := [f"{one.run.name} ({one.run.state})" for one in outcomes if one.run.state not in ENDED]:
        yield f"Unfinished runs count with their last value: {_first(early)}"
    steps = sorted((one.env_steps, one.run.name) for one in outcomes)
    if steps and steps[-1][0] > UNEQUAL_STEPS * steps[0][0]:
        (least, first), (most, last) = steps[0], steps[-1]
        yield f"Final values are from different env steps: {least:,.0f} ({first}) to {most:,.0f} ({last})"


def _pair(a: Group, b: Group, cells: Cells) -> Pair:
    if probability_of_improvement(cells).estimate < 0.5:
        a, b, cells = b, a, [(of_b, of_a) for of_a, of_b in cells]
    more = seeds_to_decide(cells)
    runs = sum(len(of_a) for of_a, _ in cells), sum(len(of_b) for _, of_b in cells)
    return Pair(
        better=a.label,
        other=b.label,
        probability=probability_of_improvement(cells),
        decided=more == 0,
        more_seeds=more,
        runs=runs,
        out_of=(len(a.runs), len(b.runs)),
    )


def _cells(a: list[Outcome], b: list[Outcome], pooled: Sequence[str], lower_is_better: bool) -> Cells:
    """Return both groups' final values, negated if lower is better, by the settings of the other keys.

    All values form one cell if the groups share no setting.
    """
    sign = -1.0 if lower_is_better else 1.0
    of_a, of_b = _by_setting(a, pooled, sign), _by_setting(b, pooled, sign)
    shared = [(of_a[setting], of_b[setting]) for setting in of_a if setting in of_b]
    return shared or [(np.concatenate([*of_a.values()]), np.concatenate([*of_b.values()]))]


def _by_setting(outcomes: list[Outcome], pooled: Sequence[str], sign: float) -> dict[tuple[str, ...], np.ndarray]:
    """Return the final values by setting; copies of one seed are not independent and count as one, with their mean."""
    values: dict[tuple[str, ...], list[float]] = {}
    for copies in partition(outcomes, lambda one: (signature(one.run), repr(one.run.config.get(SEED)))):
        setting = tuple(repr(value_of(copies[0].run, key)) for key in pooled)
        values.setdefault(setting, []).append(sign * float(np.mean([one.final for one in copies])))
    return {setting: np.array(finals) for setting, finals in values.items()}


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _more_seeds(seeds: int | None) -> str:
    if seeds is None:
        return f"{MOST_SEEDS} more seeds per group would not be enough"
    return f"needs at least {seeds} more {'seed' if seeds == 1 else 'seeds'} per group"
