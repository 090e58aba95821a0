"""The answer in words: which group beats which, what is not decided and would be, and what to mind when reading it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dreamer_exp.compare.difference import code, word
from dreamer_exp.compare.group import SEED, signature
from dreamer_exp.compare.improvement import MOST_SEEDS
from dreamer_exp.compare.model import Group, Interval, Pair
from dreamer_exp.compare.outcome import Outcome

SHOWN = 4  # names in a line
APART = 1.1  # ratio of env steps from which on two final values are of different ages


def verdict(pair: Pair, runs: tuple[int, int]) -> str:
    """One pair in words; `runs` of its better and its other group."""
    told = f"(P = {pair.probability.estimate:.2f}, {_span(pair.probability)}, {runs[0]} and {runs[1]} runs)"
    if pair.decided:
        return f"{pair.better} beats {pair.other} {told}"
    single = [label for label, count in zip((pair.better, pair.other), runs, strict=True) if count == 1]
    why = f": a single run of {' and of '.join(single)} decides nothing" if single else ""
    return f"{pair.better} against {pair.other}: not decided {told}{why}; {_more(pair.more_seeds)}"


def cautions(groups: Sequence[Group], told: Sequence[list[Outcome]], differing: Sequence[str]) -> Iterator[str]:
    """What the figures leave out or mix, a line each."""
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


def _span(interval: Interval) -> str:
    return f"95 % interval {interval.low:.2f} to {interval.high:.2f}"


def _more(seeds: int | None) -> str:
    if seeds is None:
        return f"more than {MOST_SEEDS} more seeds of each would be needed, if it stays so"
    return f"about {seeds} more {'seed' if seeds == 1 else 'seeds'} of each would, if it stays so"
