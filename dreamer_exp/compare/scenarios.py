"""Success by scenario: the last evaluations of a group's runs, each scenario as one binomial."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamer_exp.compare.metrics import SUCCESS, last_evaluation
from dreamer_exp.compare.model import Group, Run
from dreamer_exp.rundir.rates import wilson_interval

Rates = dict[str, dict[str, Any]]
"""Scenario -> `episodes`, `successes`, `rate`, `low`, `high`, and the number of each outcome as `outcomes`."""


def scenario_rates(runs: Sequence[Run]) -> Rates:
    """Return the rates of these runs' last evaluations, the scenario with the fewest successes first."""
    return rates_of(row for row in map(last_evaluation, runs) if row is not None)


def rates_of(rows: Iterable[Mapping[str, Any]]) -> Rates:
    """Return the rates of these evaluations together, the scenario with the fewest successes first."""
    total: dict[str, Counter[str]] = {}
    for row in rows:
        for scenario, outcomes in row.get("scenario_counts", {}).items():
            total.setdefault(scenario, Counter()).update(outcomes)
    rates = {scenario: _rate(outcomes) for scenario, outcomes in total.items()}
    return dict(sorted(rates.items(), key=lambda item: (item[1]["rate"], item[0])))


def worst_first(groups: Sequence[Rates]) -> list[str]:
    """Return the scenarios of all groups, the one with the lowest mean success rate first."""
    names = {name for rates in groups for name in rates}

    def mean(name: str) -> float:
        known: list[float] = [rates[name]["rate"] for rates in groups if name in rates]
        return sum(known) / len(known)

    return sorted(names, key=lambda name: (mean(name), name))


def scenario_lines(groups: Sequence[Group], scenarios: Sequence[Rates]) -> list[Mapping[str, Any]]:
    """Return the lines of compare_scenarios.csv: one for each group and scenario."""
    return [
        {
            "group": group.label,
            "scenario": name,
            **{key: of_one[key] for key in ("episodes", "successes", "rate", "low", "high")},
            **{f"outcomes.{outcome}": number for outcome, number in of_one["outcomes"].items()},
        }
        for group, rates in zip(groups, scenarios, strict=True)
        for name, of_one in rates.items()
    ]


def _rate(outcomes: Mapping[str, int]) -> dict[str, Any]:
    successes, episodes = outcomes.get(SUCCESS, 0), sum(outcomes.values())
    interval = wilson_interval(successes, episodes)
    assert interval is not None
    return {
        "episodes": episodes,
        "successes": successes,
        "rate": successes / episodes,
        "low": interval[0],
        "high": interval[1],
        "outcomes": dict(outcomes),
    }
