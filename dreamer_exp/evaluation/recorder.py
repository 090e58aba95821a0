"""What an evaluation measures in an episode, in addition to what the environment reports."""

from dataclasses import replace
from typing import Any

import gymnasium

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.scene import position_of, scene_of
from dreamer_exp.envs.shortest_path import shortest_path_length


class EpisodeRecorder:
    """Measurements of one episode.

    Args:
        env: at the beginning of the episode.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._scene, self._start = scene_of(env), position_of(env)

    def complete(self, result: EpisodeResult) -> EpisodeResult:
        """Return the finished episode's result with the measurements that the environment didn't report."""
        if result.shortest_path_length is not None or self._scene is None or self._start is None:
            return result
        scene = self._scene
        shortest = shortest_path_length(self._start, scene.route, scene.goal_radius, scene.walls, scene.robot_radius)
        return replace(result, shortest_path_length=shortest)
