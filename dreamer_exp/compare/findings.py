"""The answer in words: which group beats which, what is not decided and would be, and what to mind when reading it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dreamer_exp.compare.difference import code, word
from dreamer_exp.compare.group import SEED, signature
from dreamer_exp.compare.improvement import MOST_SEEDS
from dreamer_exp.compare.model import Group, Pair
from dreamer_exp.compare.outcome import Outcome

SHOWN = 4  # names in a line
APART = 1.1  # ratio of env steps from which on two final values are of different ages


def verdict(pair: Pair) -> str:
    """One pair in words."""
    interval = f"[{pair.probability.low:.2f}, {pair.probability.high:.2f}]"
    told = f"(P = {pair.probability.estimate:.2f} {interval}, n = {pair.runs[0]} and {pair.runs[1]})"
    if pair.decided:
        return f"{pair.better} beats {pair.other} {told}"
    return f"{pair.better} against {pair.other}: not decided {told}; {_more(pair.more_seeds)}"


def cautions(groups: Sequence[Group], told: Sequence[list[Outcome]], differing: Sequence[str]) -> Iterator[str]:
    """What the figures leave out or mix, a line each."""
    if sum(map(bool, told)) > 2:
        yield f"Each verdict holds at 95 % by itself: of {sum(map(bool, told)) - 1}, some may be chance"
    tasks = [key for key in differing if key.startswith("env.")]
    if tasks:
        yield f"The groups differ in {_few(tasks)}: what looks better may be an easier task, or another scale"
    alone = [group.label for group, counted in zip(groups, told, strict=True) if len(counted) == 1]
    if alone:
        yield f"A single run, so nothing is known of the spread: {_few(alone)}"
    for group, counted in zip(groups, told, strict=True):
        yield from _of_group(group, counted)
    ages = {group.label: _median_steps(counted) for group, counted in zip(groups, told, strict=True) if counted}
    if ages and max(ages.values()) > APART * min(ages.values()):
        young, old = min(ages, key=ages.__getitem__), max(ages, key=ages.__getitem__)
        yield f"Final values are of different ages: {ages[young]:,.0f} env steps ({young}) to {ages[old]:,.0f} ({old})"


def _of_group(group: Group, counted: list[Outcome]) -> Iterator[str]:
    left_out = [f"{run.name} ({run.state})" for run in group.runs if all(run is not one.run for one in counted)]
    if left_out and not counted:
        yield f"{group.label}: no run has a value yet: {_few(left_out)}"
    elif left_out:
        yield f"{group.label}: left out, without a value or not half as far as the furthest run: {_few(left_out)}"
    seeds = Counter((signature(one.run), one.run.config.get(SEED)) for one in counted)
    twice = sorted({word(seed) for (_, seed), count in seeds.items() if count > 1})
    if twice:
        yield f"{group.label}: not independent, as they share a seed: runs of seed {_few(twice)}"
    commits = sorted({code(one.run)["git"] for one in counted if one.run.provenance})
    if len(commits) > 1:
        yield f"{group.label}: its runs come from {len(commits)} states of the code: {_few(commits)}"


def _few(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _median_steps(told: list[Outcome]) -> float:
    return sorted(one.env_steps for one in told)[len(told) // 2]


def _more(seeds: int | None) -> str:
    if seeds is None:
        return f"even {MOST_SEEDS} more seeds each would not do"
    return f"about {seeds} more {'seed' if seeds == 1 else 'seeds'} each would"
