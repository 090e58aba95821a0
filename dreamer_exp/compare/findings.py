"""The answer in words: which group beats which, what is not decided and would be, and what to mind when reading it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dreamer_exp.compare.difference import commits, word
from dreamer_exp.compare.group import SEED, Grouping, changed_settings, signature
from dreamer_exp.compare.improvement import MOST_SEEDS
from dreamer_exp.compare.model import Group, Pair
from dreamer_exp.compare.outcome import Outcome, only_at_end
from dreamer_exp.compare.pairs import TASK

SHOWN = 4  # names in a line
FEW = range(2, 5)  # runs, of which bootstrap intervals hold the true mean 50 % to 85 % of the time, not 95 %
APART = 1.1  # ratio of env steps from which on two final values are of different ages
ENDED = ("finished", "interrupted")  # states of runs that ended as they were told to
OF_MACHINE = (
    "hardware.num_env_runners", "hardware.num_envs_per_env_runner", "hardware.num_gpus_per_learner", "algo.kernels",
)  # fmt: skip  # what "auto" makes of the machine, and shapes results


def verdict(pair: Pair) -> str:
    """One pair in words."""
    interval = f"[{pair.probability.low:.2f}, {pair.probability.high:.2f}]"
    n = " and ".join(f"{n}" if n == of else f"{n} of {of}" for n, of in zip(pair.runs, pair.out_of, strict=True))
    told = f"(P = {pair.probability.estimate:.2f} {interval}, n = {n})"
    if pair.decided:
        return f"{pair.better} beats {pair.other} {told}"
    return f"{pair.better} against {pair.other}: not decided {told}; {_more(pair.more_seeds)}"


def cautions(grouping: Grouping, outcomes: Sequence[list[Outcome]], metric: str, verdicts: int) -> Iterator[str]:
    """What the figures leave out or mix, a line each.

    Args:
        grouping: the groups.
        outcomes: of their runs that count, a list a group.
        metric: whose values they are.
        verdicts: how many there are.
    """
    told = [(group.label, counted) for group, counted in zip(grouping.groups, outcomes, strict=True) if counted]
    if verdicts > 1:
        yield f"Each verdict holds at 95 % by itself: of {verdicts}, some may be chance"
    if grouping.rest:
        yield f"Taken together: {_few(grouping.rest)}; runs are paired within equal settings where there are any"
    if tasks := [key for key in grouping.differing if key in TASK]:
        yield f"Groups of different tasks ({_few(tasks)}) are not set against each other"
    elif tasks := [key for key in grouping.differing if key.startswith("env.")]:
        yield f"The groups differ in {_few(tasks)}: what looks better may be an easier task, or another scale"
    if machine := [key for key in grouping.differing if key in OF_MACHINE]:
        yield f"Groups differ in {_few(machine)}: auto resolves by machine and by a sweep's slot; set it to compare"
    if at_end := [label for label, counted in told if only_at_end(counted, metric)]:
        yield f"Evaluated only at the end: {_few(at_end)}: for the time to a level set evaluation.every_env_steps"
    if few := [label for label, counted in told if len(counted) in FEW]:
        yield f"An interval of 2 to 4 runs is too narrow: {_few(few)}"
    if alone := [label for label, counted in told if len(counted) == 1]:
        yield f"A single run, so nothing is known of the spread: {_few(alone)}"
    for group, counted in zip(grouping.groups, outcomes, strict=True):
        yield from _of_group(group, counted)
    everyone = [one for _, counted in told for one in counted]
    if early := [f"{one.run.name} ({one.run.state})" for one in everyone if one.run.state not in ENDED]:
        yield f"Counted with the last value they have: {_few(early)}"
    ages = sorted((one.env_steps, one.run.name) for one in everyone)
    if ages and ages[-1][0] > APART * ages[0][0]:
        (young, youngest), (old, oldest) = ages[0], ages[-1]
        yield f"Final values are of different ages: {young:,.0f} env steps ({youngest}) to {old:,.0f} ({oldest})"


def _of_group(group: Group, counted: list[Outcome]) -> Iterator[str]:
    left_out = [f"{run.name} ({run.state})" for run in group.runs if all(run is not one.run for one in counted)]
    if left_out and not counted:
        yield f"{group.label}: no run has a value yet: {_few(left_out)}"
    elif left_out:
        yield f"{group.label}: left out, without a value, or short of half of its setting's way: {_few(left_out)}"
    seeds = Counter((signature(one.run), word(one.run.config.get(SEED))) for one in counted)
    twice = sorted({seed for (_, seed), count in seeds.items() if count > 1})
    if twice:
        yield f"{group.label}: not independent, as they share a seed: runs of seed {_few(twice)}"
    for run in (one.run for one in counted):
        if keys := changed_settings(run):
            yield f"{run.name}: resumed with other settings ({_few(keys)}): its first part ran with others"
    states = sorted({state for one in counted if one.run.provenance for state in commits(one.run)})
    if len(states) > 1:
        yield f"{group.label}: its runs come from {len(states)} states of the code: {_few(states)}"


def _few(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _more(seeds: int | None) -> str:
    if seeds is None:
        return f"even {MOST_SEEDS} more seeds each would not do"
    return f"at least {seeds} more {'seed' if seeds == 1 else 'seeds'} each would"
