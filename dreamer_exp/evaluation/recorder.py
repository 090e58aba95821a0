"""What an evaluation measures in an episode, in addition to what the environment reports."""

from dataclasses import replace
from typing import Any

import gymnasium

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.scene import SceneState, position_of, scene_of, state_of
from dreamer_exp.envs.shortest_path import shortest_path_length
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.generators import seeded_global_generators
from dreamer_exp.evaluation.impossible import is_impossible
from dreamer_exp.evaluation.social import social_metrics


class EpisodeRecorder:
    """Measurements of one episode.

    Args:
        env: at the beginning of the episode.
        episode: which one it is.
        max_steps: the evaluation's step limit (env.max_steps).
    """

    def __init__(self, env: gymnasium.Env[Any, Any], episode: EvaluationEpisode, max_steps: int) -> None:
        self._env, self._episode, self._max_steps = env, episode, max_steps
        self._scene, self._start = scene_of(env), position_of(env)
        self._states: list[SceneState] = []

    def step(self) -> None:
        """Record the state after a step."""
        state = state_of(self._env)
        if state is not None:
            self._states.append(state)

    def complete(self, result: EpisodeResult) -> EpisodeResult:
        """Return the finished episode's result with the measurements; the env may be reset for them."""
        result = self._with_shortest_path(result)
        if self._states and self._scene is not None:
            metrics = social_metrics(self._states, self._scene, result, self._max_steps)
            result = replace(result, social=metrics)
        with seeded_global_generators(self._episode.seed):  # other episodes of this process do not change
            return replace(result, impossible=is_impossible(self._env, self._episode, result))

    def _with_shortest_path(self, result: EpisodeResult) -> EpisodeResult:
        if (
            result.shortest_path_length is not None
            or self._scene is None
            or self._start is None
            or not len(self._scene.route)
        ):
            return result
        scene = self._scene
        shortest = shortest_path_length(self._start, scene.route, scene.goal_radius, scene.walls, scene.robot_radius)
        return replace(result, shortest_path_length=shortest)
