"""Episodes that no policy can pass: in collision after the first step, whatever the action."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from dreamer_exp.envs.episode import COLLISIONS, EpisodeResult
from dreamer_exp.evaluation.episodes import EvaluationEpisode

MAX_CORNERS = 3  # dimensions of an action of which all extremes are tried
MAX_ACTIONS = 9


def is_impossible(env: gymnasium.Env[Any, Any], episode: EvaluationEpisode, result: EpisodeResult) -> bool:
    """Return whether a finished episode collides in its first step whatever the action.

    Only an episode of one step that collided is driven again, from the same reset with several actions.

    Args:
        env: it is reset.
        episode: what `env` drove.
        result: how that ended.
    """
    if not (result.collided and result.length == 1):
        return False
    return all(_collides(env, episode, action) for action in probe_actions(env.action_space))


def _collides(env: gymnasium.Env[Any, Any], episode: EvaluationEpisode, action: Any) -> bool:
    episode.begin(env)
    *_, info = env.step(action)
    return info.get("outcome") in COLLISIONS


def probe_actions(space: gymnasium.Space[Any]) -> Iterator[Any]:
    """Yield up to 9 different actions: the middle and the extremes of a small Box, all of a Discrete, else samples."""
    if isinstance(space, Discrete):
        yield from (int(space.start) + place for place in range(min(int(space.n), MAX_ACTIONS)))
    elif isinstance(space, Box) and space.is_bounded() and space.shape and space.shape[0] <= MAX_CORNERS:
        yield np.mean([space.low, space.high], axis=0).astype(space.dtype)
        for corner in product(*zip(space.low, space.high, strict=True)):
            yield np.array(corner, space.dtype)
    else:
        rng = np.random.default_rng(0)
        space.seed(int(rng.integers(2**31)))
        yield from (space.sample() for _ in range(MAX_ACTIONS))
