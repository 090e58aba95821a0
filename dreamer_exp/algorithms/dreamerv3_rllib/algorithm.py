"""RLlib's stock DreamerV3 as an Algorithm of this package: learner, networks and losses are RLlib's."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO
from ray.rllib.utils.numpy import one_hot

from dreamer_exp.algorithms.dreamerv3_rllib import replay_file
from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay
from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate, figures_of, is_nonfinite
from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3


class StockDreamerV3(BaseDreamerV3):
    """RLlib's DreamerV3 with the corrected training step, and with a replay that is seeded and has no infos."""

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, then replace its replay by the corrected one."""
        super().setup(config)
        self.replay_buffer = SeededEpisodeReplay(
            config.replay_buffer_config["capacity"],
            batch_size_B=config.batch_size_B,
            batch_length_T=config.batch_length_T,
            seed=config.seed,
        )

    @property
    def replay_steps(self) -> int:
        """Number of env steps in the replay."""
        return len(self.replay_buffer)

    def restore_from_path(self, *args: Any, **kwargs: Any) -> None:
        """Load RLlib's checkpoint, then draw the module's first latent, as the saved run did before."""
        super().restore_from_path(*args, **kwargs)
        self.on_learner(_draw_first_latent)

    def save_replay(self, folder: Path) -> None:
        """Write the replay and its random generator into a new folder."""
        replay_file.save(self.replay_buffer, folder)

    def load_replay(self, folder: Path) -> None:
        """Load a saved replay."""
        replay_file.load(self.replay_buffer, folder)

    def recorded_steps(self, most: int) -> RecordedSteps:
        """Return up to this number of the newest steps of the replay."""
        steps = self.replay_buffer.newest(most)
        space = self.spaces[INPUT_ENV_SINGLE_SPACES][1]
        if isinstance(space, gymnasium.spaces.Discrete):
            action = np.eye(int(space.n), dtype=np.float32)[steps.action.astype(int)]
            return replace(steps, action=action)
        return steps

    def reseed_replay(self, number: int) -> None:
        """Draw the next batches from the random stream of this number."""
        self.replay_buffer.reseed(self.config.seed, number)

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        self.replay_buffer.add(episodes=chunks)

    def _learn(self, at_most: int) -> int:
        self.metrics.aggregate(self._update_once(), key=LEARNER_RESULTS)
        return 1

    def _update_once(self) -> list[Any]:
        sample = self.replay_buffer.sample()
        action_space = self.spaces[INPUT_ENV_SINGLE_SPACES][1]
        if isinstance(action_space, gymnasium.spaces.Discrete):
            sample["actions_ints"] = sample[Columns.ACTIONS]
            sample[Columns.ACTIONS] = one_hot(sample["actions_ints"], depth=action_space.n)
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        try:
            results: list[Any] = self.learner_group.update(
                batch=SampleBatch(sample).as_multi_agent(), timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: sampled}
            )
        except (AssertionError, ValueError) as error:
            if not is_nonfinite(error):
                raise
            raise self._diverged({}, sample, untouched=True) from error
        figures = figures_of(results)
        if not all(map(math.isfinite, figures.values())):
            raise self._diverged(figures, sample, untouched=False)
        return results

    def _diverged(self, figures: dict[str, float], sample: dict[str, Any], untouched: bool) -> NonFiniteUpdate:
        if not self.learner_group.is_local:  # RLlib 2.60 gives up a remote learner whose update raised
            for learner in range(len(self.learner_group)):
                self.learner_group._worker_manager.set_actor_state(learner, healthy=True)
        number = self.learner_group.get_state()["learner"][WEIGHTS_SEQ_NO]
        return NonFiniteUpdate(number, figures, sample, {}, untouched)


def _draw_first_latent(learner: Learner) -> None:
    """Call `is_stateful`, in which RLlib's module draws a latent when it is first called."""
    learner.module[DEFAULT_MODULE_ID].unwrapped().is_stateful()
