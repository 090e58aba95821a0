"""Start points in episodes that training has not seen, and what the simulator did after them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.open_loop import Imagined
from dreamer_exp.algorithms.protocol import Policy
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env
from dreamer_exp.evaluation.dispatch import never
from dreamer_exp.evaluation.episodes import EvaluationEpisode, fixed_seeds
from dreamer_exp.evaluation.generators import seeded_global_generators
from dreamer_exp.evaluation.rollout import Stopped
from dreamer_exp.threads import one_thread

CONTEXT = 8  # fewest real steps before a start point
EPISODES = 16  # on seeds evaluation.seed, evaluation.seed + 1, ...
STARTS = 4  # most start points in an episode
MOST_FLOATS = 4_096  # of an observation, with several start points in an episode
LATEST_START = 100  # steps into an episode

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GroundTruth:
    """N start points in real episodes, with up to T seen steps before and H steps after each.

    Attributes:
        seen: observations up to the start point (N, T, O), zero before the beginning of the episode.
        is_first: 1 at the first step of an episode (N, T).
        actions: the action after each seen step (N, T-1+H, ...), zero outside the episode.
        truth: the last seen step and H more (N, H+1, ...), NaN after the end of the episode.
    """

    seen: Array
    is_first: Array
    actions: NDArray[Any]
    truth: Imagined


def collect(
    module: RLModule, experiment: Experiment, ahead: int, should_stop: Callable[[], bool] = never
) -> GroundTruth | None:
    """Run the deterministic policy, and draw start points from each episode that outlasts CONTEXT.

    The result is the same every time, and the global random generators are not changed.

    Args:
        module: the network of the algorithm.
        experiment: gives the env, the contract and the seeds.
        ahead: H, the number of steps to keep after a start point.
        should_stop: called at every step.

    Returns:
        The start points; None if no episode outlasts CONTEXT.

    Raises:
        Stopped: `should_stop` returned True.
    """
    first = experiment.evaluation.seed
    choice = np.random.default_rng(first)
    cut = []
    policy = spec_of(experiment.algo).load().policy_maker(module)(1)
    env = make_env(experiment.env, experiment.obs_contract)
    with one_thread(), seeded_global_generators(first), closing(env):
        for episode in fixed_seeds(experiment, EPISODES).episodes:
            steps, actions = _run_episode(policy, env, episode, LATEST_START + ahead, should_stop)
            possible = np.arange(CONTEXT - 1, min(len(actions), LATEST_START + 1))
            number = min(STARTS if steps[0][0].size <= MOST_FLOATS else 1, len(possible))
            for start in sorted(choice.choice(possible, number, replace=False).tolist()):
                cut.append(_cut(steps, actions, start, ahead))
    if not cut:
        return None
    seen, is_first, taken, *truth = (np.stack(column) for column in zip(*cut, strict=True))
    return GroundTruth(seen, is_first, taken, Imagined(*truth))


def _run_episode(
    policy: Policy,
    env: gymnasium.Env[Any, Any],
    episode: EvaluationEpisode,
    max_steps: int,
    should_stop: Callable[[], bool],
) -> tuple[list[tuple[Array, float, float]], list[Any]]:
    """Return an episode's L+1 steps (observation, reward, 0 if terminated else 1) and its L actions."""
    policy.begin(0, episode.seed)
    observation, _ = episode.begin(env)
    steps, done = [(observation, 0.0, 1.0)], False
    actions: list[Any] = []
    while not done and len(actions) < max_steps:
        if should_stop():
            raise Stopped
        actions.append(policy.act(observation[None])[0])
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        steps.append((observation, float(reward), 1.0 - terminated))
        done = terminated or truncated
    return steps, actions


def _cut(
    steps: list[tuple[Array, float, float]], actions: list[Any], start: int, ahead: int
) -> tuple[NDArray[Any], ...]:
    """Return the columns of GroundTruth for one start point."""
    observations, *others = (np.stack(column).astype(np.float32) for column in zip(*steps, strict=True))
    before = LATEST_START - start
    seen = np.pad(observations[: start + 1], ((before, 0), (0, 0)))
    is_first = (np.arange(len(seen)) == before).astype(np.float32)
    taken = np.stack(actions)[: start + ahead]
    rest = start + ahead - len(taken)
    taken = np.pad(taken, ((before, rest), *((0, 0),) * (taken.ndim - 1)))
    truth = (_pad_with_nan(x[start : start + ahead + 1], ahead + 1) for x in (observations, *others))
    return seen, is_first, taken, *truth


def _pad_with_nan(x: Array, length: int) -> Array:
    """Return x extended to a length with NaN."""
    return np.concatenate([x, np.full((length - len(x), *x.shape[1:]), np.nan, np.float32)])
