"""Episodes that a policy and its exported files drive: how many succeed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamer_exp.algorithms.rows import RowNoise
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.action_repeat import ActionRepeat
from dreamer_exp.envs.episode import SUCCESS, EpisodeResult, result_of
from dreamer_exp.envs.make import make_env, make_raw_env
from dreamer_exp.envs.spec import RawEnv
from dreamer_exp.exporting.formats import Run
from dreamer_exp.policy.acting import Policy

FIRST_SEED = 1_000_000  # as evaluations, which training never uses

Act = Callable[[Any], Any]
Begin = Callable[[int], Act]
"""Begins an episode with the noise of a seed; returns how to act in it."""
Outcome = tuple[str | None, int]
"""How an episode ended, and its number of steps."""


@dataclass(frozen=True)
class Success:
    """Episodes of one file.

    Attributes:
        successes: number of successful ones.
        same: number of those that ended as the policy's did, at the same step.
    """

    successes: int
    same: int

    @staticmethod
    def of(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> "Success":
        """Count the outcomes of a file, next to those of the policy."""
        same = sum(found == wanted for found, wanted in zip(outcomes, expected, strict=True))
        return Success(sum(outcome == SUCCESS for outcome, _ in outcomes), same)


def outcomes_of(env: RawEnv, begin: Begin, episodes: int, progress: Callable[[EpisodeResult], None]) -> list[Outcome]:
    """Return how each episode ended.

    Args:
        env: of `env_of`.
        begin: of the policy or the file.
        episodes: their number; episode i has the seed FIRST_SEED + i.
        progress: called with the result of each finished episode.
    """
    found: list[Outcome] = []
    for seed in range(FIRST_SEED, FIRST_SEED + episodes):
        act = begin(seed)
        observation, info = env.reset(seed=seed)
        steps, ended = 0, False
        while not ended:
            observation, _, terminated, truncated, info = env.step(act(observation))
            steps, ended = steps + 1, terminated or truncated
        result = result_of(info, 0.0, steps)
        found.append((result.outcome, steps))
        progress(result)
    return found


def env_of(policy: Policy, experiment: Experiment) -> RawEnv:
    """Return the environment whose observations the policy takes: vectors if its file does not have the contract."""
    settings = experiment.env
    if policy.contract is None:
        return make_env(settings, experiment.obs_contract)
    raw = make_raw_env(settings)
    return ActionRepeat(raw, settings.action_repeat) if settings.action_repeat > 1 else raw


def acts_as_policy(policy: Policy) -> Begin:
    """Return how the policy of one robot begins an episode."""

    def begin(seed: int) -> Act:
        policy.reset(seed=seed)
        return policy.act

    return begin


def acts_as_file(policy: Policy, run: Run) -> Begin:
    """Return how a file begins an episode, with the noise of its policy."""
    network, contract = policy.network, policy.contract
    normal = np.zeros((1, 0 if network.discrete else network.action_size), np.float32)

    def begin(seed: int) -> Act:
        noise = RowNoise(1)
        noise.begin(0, seed)
        state = [part.numpy() for part in network.initial(1)]

        def act(observation: Any) -> Any:
            draws = np.concatenate([network.draw(noise).numpy(), normal], 1)
            network.after_mode(noise)
            seen = observation[None] if contract is None else contract.observed(observation, None)
            outputs = run([seen, *state, draws])
            state[:] = outputs[1 : 1 + len(state)]
            return outputs[0][0]

        return act

    return begin
