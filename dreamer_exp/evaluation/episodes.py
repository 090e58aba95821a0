"""The episodes of an evaluation: their seeds and scenarios, and how they were chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.planning.protocol import read_protocol


@dataclass(frozen=True)
class EvaluationEpisode:
    """One episode of an evaluation.

    Attributes:
        seed: given to `reset`.
        scenario: given to `reset` as options={"scenario": ...}; None without a list of scenarios.
    """

    seed: int
    scenario: str | None = None

    def begin(self, env: gymnasium.Env[Any, Any]) -> tuple[Any, dict[str, Any]]:
        """Reset an env to this episode; return observation and info."""
        return env.reset(seed=self.seed, options=None if self.scenario is None else {"scenario": self.scenario})


@dataclass(frozen=True)
class EpisodeList:
    """The episodes of an evaluation, in order, and one line that describes how they were chosen."""

    episodes: tuple[EvaluationEpisode, ...]
    choice: str


def episode_list(experiment: Experiment) -> EpisodeList:
    """Return the episodes that this experiment's evaluations drive: all of its protocol.

    Raises:
        UserError: the protocol is wrong, or the environment cannot list its scenarios.
    """
    protocol = read_protocol(experiment.evaluation.protocol)
    if protocol.episodes is None:
        return fixed_seeds(experiment, experiment.evaluation.episodes)
    episodes = tuple(EvaluationEpisode(seed, scenario) for seed, scenario in protocol.episodes)
    return EpisodeList(episodes, f"all of protocol {protocol.name}")


def fixed_seeds(experiment: Experiment, count: int) -> EpisodeList:
    """Return this many episodes with the seeds from evaluation.seed on; a list of scenarios is covered evenly.

    Raises:
        UserError: the environment cannot list its scenarios.
    """
    first = experiment.evaluation.seed
    seeds = range(first, first + count)
    scenarios = spec_of(experiment.env).scenarios(experiment.env)
    if scenarios is None:
        return EpisodeList(tuple(map(EvaluationEpisode, seeds)), describe_seeds(seeds))
    chosen = cover_evenly(scenarios, count, first)
    episodes = tuple(EvaluationEpisode(seed, name) for seed, name in zip(seeds, chosen, strict=True))
    return EpisodeList(episodes, f"{describe_cover(len(scenarios), count)}; {describe_seeds(seeds)}")


def cover_evenly(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` names that cover the list evenly: each as often as any other, or once more.

    Complete rounds come first. The rest takes one name from each of as many equal stretches of the list, because
    neighbours in a list are usually alike; the place within a stretch is drawn, because a fixed step could always meet
    the same kind (low, medium, high).
    """
    rounds, rest = divmod(count, len(names))
    rng = np.random.default_rng(seed)
    edges = [len(names) * place // rest for place in range(rest + 1)] if rest else []
    drawn = [names[int(rng.integers(low, high))] for low, high in pairwise(edges)]
    return [*list(names) * rounds, *drawn]


def describe_cover(scenarios: int, count: int) -> str:
    """Return how `count` episodes cover the scenarios."""
    rounds, rest = divmod(count, scenarios)
    if not rounds:
        return f"{count} of {scenarios} scenarios, one drawn from each of {count} equal stretches of their list"
    once = f"{scenarios} scenarios, {rounds} {'episode' if rounds == 1 else 'episodes'} each"
    return f"{once}, and one more of {rest} drawn from equal stretches of their list" if rest else once


def describe_seeds(seeds: range) -> str:
    """Return the first and the last seed."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds.start} to {seeds.stop - 1}"
