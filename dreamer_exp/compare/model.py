"""What is compared: runs as their files tell them, groups of runs that differ in their seed alone, and the findings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    """One run's directory, read; what is missing or broken is empty here and told in `faults`."""

    root: Path
    name: str  # relative to the folder that all compared runs share
    state: str  # running, finished, failed, interrupted, dead (says running, its process is gone), not started, unknown
    error: str | None  # "Type: first line", of a run that failed
    config: dict[str, Any]  # experiment.yaml, flattened: {"algo.horizon_H": 15, ...}
    provenance: dict[str, Any]  # provenance.json
    rows: dict[str, np.ndarray]  # result.jsonl by column, float64 [rows], NaN for null; always has "env_steps"
    evaluations: tuple[dict[str, Any], ...]  # evaluation.jsonl: the policy's and the baselines' rows
    faults: tuple[str, ...] = ()  # one line each: file, and what is wrong with it
    columns: tuple[str, ...] = ()  # all that result.jsonl has; `rows` may hold a choice of them
    job: dict[str, Any] = field(default_factory=dict)  # job.json, of a sweep's job


@dataclass(frozen=True)
class Group:
    """Runs that are equal but for `run.seed` (and what does not shape a result: run.id, tracking, ...)."""

    label: str  # what sets it apart from the other groups: "training_ratio=64 batch_size_B=8"
    settings: dict[str, Any]  # the differing keys with this group's values
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """One group's metric on a common grid: interquartile mean over its runs with its 95 % bootstrap interval."""

    x: np.ndarray  # env steps, or seconds of wall time [points]
    middle: np.ndarray  # [points]
    low: np.ndarray  # [points]
    high: np.ndarray  # [points]


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs."""

    kind: str  # config | code | hardware | status
    key: str
    values: tuple[tuple[str, int], ...]  # each value as a word, and how many runs have it
    goes_with: str | None = None  # the first key of the same kind that tells the same runs apart


@dataclass(frozen=True)
class Pair:
    """Two groups: which one is better, and whether the runs are enough to say so."""

    better: str  # label of the group whose runs win more often
    other: str
    probability: Interval  # of improvement: that a run of `better` beats one of `other`, with its 95 % interval
    decided: bool
    more_seeds: int | None  # of each group, that would decide it if the probability stayed; None: over a hundred
    runs: tuple[int, int] = (0, 0)  # of `better` and of `other` that were set against each other
    out_of: tuple[int, int] = (0, 0)  # runs that each of them has


@dataclass(frozen=True)
class Comparison:
    """Everything that the table, the files, the figures and the page show."""

    metric: str
    at: str  # "env_steps" or "wall"
    runs: tuple[Run, ...]
    groups: tuple[Group, ...]
    differing: tuple[str, ...]  # keys of config that differ between the groups
    findings: tuple[str, ...] = ()  # in words: "A beats B (P = 0.97)"
    faults: tuple[str, ...] = ()  # of paths that hold no run, and of every run
    statistics: tuple[dict[str, Any], ...] = field(default=())  # one tree a group, in the order of `groups`, for JSON
    differences: tuple[Difference, ...] = ()
    pairs: tuple[Pair, ...] = ()
    by: str | None = None  # the key whose value makes a group, where one was asked for
    rest: tuple[str, ...] = ()  # with `by`: keys that differ within groups, over which the figures are taken together
    threshold: float | None = None  # that `statistics` tells the time to
    lower_is_better: bool = False
