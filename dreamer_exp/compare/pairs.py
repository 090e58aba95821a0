"""Groups -> pairs of them: which can be set against each other, by which of their runs, and who is better."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from dreamer_exp.compare.group import SEED, Grouping, signature, split, value
from dreamer_exp.compare.improvement import Cells, probability, seeds_to_decide
from dreamer_exp.compare.model import Group, Pair
from dreamer_exp.compare.outcome import Outcome

TASK = ("env.name", "env.id", "env.scenario")  # groups that differ in one of them have nothing to beat each other at


def of_one_task(grouping: Grouping, places: Sequence[int]) -> list[list[int]]:
    """The groups at these places, in their order, each with those of its task."""
    settings = [group.settings for group in grouping.groups]
    return split(places, lambda place: tuple(repr(settings[place].get(key)) for key in TASK))


def pairs_of(grouping: Grouping, outcomes: Sequence[list[Outcome]], places: Sequence[int], lower: bool) -> list[Pair]:
    """Every two of the groups at these places, those of the first one first; `lower` is better, or higher."""
    groups = grouping.groups
    return [
        _pair(groups[a], groups[b], _cells(outcomes[a], outcomes[b], grouping.rest, lower))
        for a, b in combinations(places, 2)
    ]


def _pair(a: Group, b: Group, cells: Cells) -> Pair:
    if probability(cells).estimate < 0.5:
        a, b, cells = b, a, [(of_b, of_a) for of_a, of_b in cells]
    more = seeds_to_decide(cells)
    runs = sum(len(of_a) for of_a, _ in cells), sum(len(of_b) for _, of_b in cells)
    return Pair(a.label, b.label, probability(cells), more == 0, more, runs, (len(a.runs), len(b.runs)))


def _cells(a: list[Outcome], b: list[Outcome], rest: Sequence[str], lower: bool) -> Cells:
    """Both groups' values, higher is better, by their settings of the other keys; all together where none is shared.

    Copies of one seed aren't independent: they count as one run of their mean.
    """
    sign = -1.0 if lower else 1.0
    of_a, of_b = _by_rest(a, rest, sign), _by_rest(b, rest, sign)
    shared = [(of_a[cell], of_b[cell]) for cell in of_a if cell in of_b]
    return shared or [(np.concatenate([*of_a.values()]), np.concatenate([*of_b.values()]))]


def _by_rest(told: list[Outcome], rest: Sequence[str], sign: float) -> dict[tuple[str, ...], np.ndarray]:
    found: dict[tuple[str, ...], list[float]] = {}
    for copies in split(told, lambda one: (signature(one.run), repr(one.run.config.get(SEED)))):
        cell = tuple(repr(value(copies[0].run, key)) for key in rest)
        found.setdefault(cell, []).append(sign * float(np.mean([one.final for one in copies])))
    return {cell: np.array(values) for cell, values in found.items()}
