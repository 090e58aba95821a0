"""Data of a comparison: the runs as read, their groups, and the results."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    """One run directory as read; missing or broken parts are empty here and listed in `faults`."""

    root: Path
    name: str  # path below the folder that all compared runs share
    state: str  # of status.json, or dead ("running" without a process), not started, unknown
    error: str | None  # "Type: first line" of a failed run
    config: dict[str, Any]  # experiment.yaml, flattened: {"algo.horizon_H": 15, ...}
    provenance: dict[str, Any]  # provenance.json
    rows: dict[str, np.ndarray]  # result.jsonl by column, float64 [rows], NaN for null; always has "env_steps"
    evaluations: tuple[dict[str, Any], ...]  # evaluation.jsonl: rows of the policy and of the baselines
    faults: tuple[str, ...] = ()  # one line each: file and problem
    columns: tuple[str, ...] = ()  # all columns of result.jsonl; `rows` may hold only some of them
    job: dict[str, Any] = field(default_factory=dict)  # job.json of a sweep's job


@dataclass(frozen=True)
class Group:
    """Runs with equal settings, apart from `run.seed` and keys that do not affect results."""

    label: str  # distinguishes it from the other groups: "training_ratio=64 batch_size_B=8"
    settings: dict[str, Any]  # the differing keys with this group's values
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Interval:
    """Estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A group's metric on a common grid: interquartile mean over runs with its 95 % bootstrap interval."""

    x: np.ndarray  # env steps, or seconds of wall time [points]
    middle: np.ndarray  # [points]
    low: np.ndarray  # [points]
    high: np.ndarray  # [points]


@dataclass(frozen=True)
class Difference:
    """A property that is not the same in all runs."""

    kind: str  # config | code | hardware | status
    key: str
    values: tuple[tuple[str, int], ...]  # each value as text, and the number of runs that have it
    goes_with: str | None = None  # first key of the same kind that separates the runs in the same way


@dataclass(frozen=True)
class Pair:
    """Two groups: which one is better, and whether there are enough runs to decide it."""

    better: str  # label of the group that wins more often
    other: str
    probability: Interval  # of improvement: that a run of `better` beats a run of `other`
    decided: bool
    more_seeds: int | None  # per group, to decide it at this probability; None: more than MOST_SEEDS
    runs: tuple[int, int] = (0, 0)  # of `better` and of `other` that were compared
    out_of: tuple[int, int] = (0, 0)  # runs of each group


@dataclass(frozen=True)
class Budget:
    """Groups of several algorithms at the same cost."""

    at: str  # "env_steps" or "wall"
    value: float  # env steps, or seconds
    shortest: str  # label of the group whose shortest run sets the budget
    groups: tuple[dict[str, Any], ...]  # label, iqm, low, high and values of each group with a value, best first
    pairs: tuple[Pair, ...]  # the pairs of the best group first
    without: tuple[dict[str, Any], ...] = ()  # label, missing, of and first of each group with runs without a value


@dataclass(frozen=True)
class ComparisonRequest:
    """Options of a comparison."""

    metric: str | None = None  # None: the success rate, or the nearest metric that the runs have
    at: str = "env_steps"  # x axis of the curves: "env_steps" or "wall"
    by: str | None = None  # config key to group by; None: equal settings apart from the seed
    threshold: float | None = None  # None: the median of the groups' final values


@dataclass(frozen=True)
class Comparison:
    """Result that the terminal, the files, the figures and the page show."""

    metric: str
    at: str  # "env_steps" or "wall"
    runs: tuple[Run, ...]
    groups: tuple[Group, ...]
    differing: tuple[str, ...]  # config keys that differ between the groups
    findings: tuple[str, ...] = ()  # sentences: "A beats B (P = 0.97)"
    faults: tuple[str, ...] = ()  # of paths without a run, and of every run
    statistics: tuple[dict[str, Any], ...] = ()  # JSON tree of each group, in the order of `groups`
    scenarios: tuple[dict[str, dict[str, Any]], ...] = ()  # rates by scenario of each group (scenarios.scenario_rates)
    differences: tuple[Difference, ...] = ()
    pairs: tuple[Pair, ...] = ()
    budgets: tuple[Budget, ...] = ()  # of groups of several algorithms
    by: str | None = None  # the key that defines the groups, where one was requested
    pooled: tuple[str, ...] = ()  # with `by`: keys that differ within groups, whose values are pooled
    threshold: float | None = None  # level whose first time is in `statistics`
    lower_is_better: bool = False
