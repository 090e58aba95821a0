"""The running totals of a run, and the window of its last finished episodes."""

import time
from collections import deque
from typing import Any

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.envs.episode import EpisodeResult, without_faults
from dreamer_exp.rundir.metric_names import WINDOW


class Counters:
    """Totals since the run began, over all of its resumes.

    Attributes:
        iterations: finished iterations.
        env_steps: steps of all environments.
        prefill_env_steps: of these, steps before there was a batch to learn from; the training ratio leaves them out.
        updates: updates of the learner.
        episodes: episodes that ended without a fault.
        episodes_cut: episodes cut at a checkpoint; they enter no rate and no mean.
        faults: faults of the environments.
        window: the last WINDOW finished episodes.
    """

    def __init__(self) -> None:
        self.iterations = 0
        self.env_steps = 0
        self.prefill_env_steps = 0
        self.updates = 0
        self.episodes = 0
        self.episodes_cut = 0
        self.faults = 0
        self.window: deque[EpisodeResult] = deque(maxlen=WINDOW)
        self._start = time.perf_counter()
        self._last: Iteration | None = None

    @property
    def seconds(self) -> float:
        """Wall time of the run: everything since its directory was prepared, evaluations and checkpoints included.

        A resume continues from the checkpoint's, so neither the time between an end and a resume nor steps that are
        repeated count. This is `wall_time_s` of status.json, of run_summary.json and of a sweep's jobs, and
        `time/total_s` of a row.
        """
        return time.perf_counter() - self._start

    def add(self, iteration: Iteration) -> None:
        """Add one iteration to the totals."""
        self._last = iteration
        self.iterations += 1
        self.env_steps += iteration.env_steps
        self.prefill_env_steps += iteration.prefill_env_steps
        self.updates += iteration.updates
        self.faults += sum(episode.faults for episode in iteration.episodes)
        ended = without_faults(iteration.episodes)
        self.episodes += len(ended)
        self.window.extend(ended)

    def is_counted(self, iteration: Iteration) -> bool:
        """Return whether the totals hold all that an iteration did so far."""
        return iteration is self._last or not (iteration.env_steps or iteration.updates)

    def to_dict(self) -> dict[str, Any]:
        """Return the totals and the window as JSON values, for a checkpoint."""
        return {
            "iteration": self.iterations,
            "env_steps": self.env_steps,
            "prefill_env_steps": self.prefill_env_steps,
            "updates": self.updates,
            "episodes": self.episodes,
            "episodes_cut": self.episodes_cut,
            "faults": self.faults,
            "seconds": self.seconds,
            "window": [episode.to_dict() for episode in self.window],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `to_dict` returned."""
        self.iterations, self.env_steps, self.updates = state["iteration"], state["env_steps"], state["updates"]
        self.prefill_env_steps = state.get("prefill_env_steps", 0)  # missing in checkpoints of earlier releases
        self.episodes, self.episodes_cut, self.faults = state["episodes"], state["episodes_cut"], state["faults"]
        self.window = deque((EpisodeResult.from_dict(episode) for episode in state["window"]), maxlen=WINDOW)
        self._start = time.perf_counter() - state["seconds"]
