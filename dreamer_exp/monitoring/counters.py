"""A run's running totals, and the window of its last finished episodes."""

import time
from collections import deque
from dataclasses import asdict
from typing import Any

from dreamer_exp.algorithms.rllib.algorithm import Iteration
from dreamer_exp.envs.episode import EpisodeResult, whole
from dreamer_exp.rundir.metric_names import WINDOW


class Counters:
    """What has been done since the run began, in all its processes."""

    def __init__(self) -> None:
        self.iterations = 0
        self.env_steps = 0
        self.updates = 0
        self.episodes = 0  # that ended by themselves, and by no fault
        self.episodes_cut = 0  # that were under way at a checkpoint: in no rate and no mean
        self.faults = 0  # of the environments
        self.window: deque[EpisodeResult] = deque(maxlen=WINDOW)
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the run began; what lay between an end and a resume is not counted."""
        return time.perf_counter() - self._began

    def add(self, iteration: Iteration) -> None:
        """Counts one iteration in."""
        self.iterations += 1
        self.env_steps += iteration.env_steps
        self.updates += iteration.updates
        self.faults += sum(episode.faults for episode in iteration.episodes)
        ended = whole(iteration.episodes)
        self.episodes += len(ended)
        self.window.extend(ended)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for a checkpoint."""
        return {
            "iteration": self.iterations,
            "env_steps": self.env_steps,
            "updates": self.updates,
            "episodes": self.episodes,
            "episodes_cut": self.episodes_cut,
            "faults": self.faults,
            "seconds": self.seconds,
            "window": [asdict(episode) for episode in self.window],
        }

    def take_up(self, kept: dict[str, Any]) -> None:
        """Goes on from a checkpoint's."""
        self.iterations, self.env_steps, self.updates = kept["iteration"], kept["env_steps"], kept["updates"]
        self.episodes, self.episodes_cut, self.faults = kept["episodes"], kept["episodes_cut"], kept["faults"]
        self.window = deque((EpisodeResult(**episode) for episode in kept["window"]), maxlen=WINDOW)
        self._began = time.perf_counter() - kept["seconds"]
