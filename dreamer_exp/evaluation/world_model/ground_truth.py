"""Start points in real episodes, and what the simulator did after them: the truth of the world-model check."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.open_loop import Imagined
from dreamer_exp.algorithms.policy import make_policy
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env
from dreamer_exp.evaluation.rollout import Stopped, begin_episode, lent_random_streams, never

CONTEXT = 8  # real steps that the model sees at least
EPISODES = 16  # on seeds evaluation.seed, evaluation.seed + 1, ...: one start point each
LATEST_START = 100  # steps into an episode; what comes much later is not driven to

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GroundTruth:
    """N start points: what the model sees (N, T, O), where in it the episodes begin (N, T), the actions after each seen
    step (N, T-1+H, ...), and the truth of the last seen step and H more. Zeros stand before an episode's beginning, NaN
    and zeros (actions) after its end."""

    seen: Array
    is_first: Array
    actions: NDArray[Any]
    truth: Imagined


def drive(
    module: RLModule, experiment: Experiment, ahead: int, should_stop: Callable[[], bool] = never
) -> GroundTruth | None:
    """Lets the deterministic policy act, and draws a start point from each episode that outlasts the context.

    Args:
        module: either learner's network.
        experiment: which env, contract and evaluation seeds.
        ahead: H, steps whose truth is kept after a start point.
        should_stop: asked at every step.

    Returns:
        None where no episode outlasts the context. The same every time; global random streams are left as they were.

    Raises:
        Stopped: `should_stop` said so.
    """
    first = experiment.evaluation.seed
    choice = np.random.default_rng(first)
    cut = []
    with lent_random_streams(first), closing(make_env(experiment.env, experiment.obs_contract)) as env:
        for seed in range(first, first + EPISODES):
            steps, actions = _drive_one(module, experiment, env, seed, LATEST_START + ahead, should_stop)
            if len(actions) >= CONTEXT:
                start = int(choice.integers(CONTEXT - 1, min(len(actions) - 1, LATEST_START), endpoint=True))
                cut.append(_cut(steps, actions, start, ahead))
    if not cut:
        return None
    seen, is_first, taken, *truth = (np.stack(column) for column in zip(*cut, strict=True))
    return GroundTruth(seen, is_first, taken, Imagined(*truth))


def _drive_one(  # noqa: PLR0917
    module: RLModule,
    experiment: Experiment,
    env: gymnasium.Env[Any, Any],
    seed: int,
    at_most: int,
    should_stop: Callable[[], bool],
) -> tuple[list[tuple[Array, float, float]], list[Any]]:
    """An episode's L+1 steps (observation, reward, 0 where it terminated), and its L actions."""
    policy = make_policy(module, 1, seed)
    observation, _ = begin_episode(experiment, env, seed)
    steps, done = [(observation, 0.0, 1.0)], False
    actions: list[Any] = []
    while not done and len(actions) < at_most:
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
    """The columns of GroundTruth for one start point."""
    observations, *others = (np.stack(column).astype(np.float32) for column in zip(*steps, strict=True))
    before = LATEST_START - start
    seen = np.pad(observations[: start + 1], ((before, 0), (0, 0)))
    is_first = (np.arange(len(seen)) == before).astype(np.float32)
    taken = np.stack(actions)[: start + ahead]
    rest = start + ahead - len(taken)
    taken = np.pad(taken, ((before, rest), *((0, 0),) * (taken.ndim - 1)))
    truth = (_until(x[start : start + ahead + 1], ahead + 1) for x in (observations, *others))
    return seen, is_first, taken, *truth


def _until(x: Array, length: int) -> Array:
    """Filled up with NaN."""
    return np.concatenate([x, np.full((length - len(x), *x.shape[1:]), np.nan, np.float32)])
