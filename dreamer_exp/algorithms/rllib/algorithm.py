"""RLlib's DreamerV3 algorithm with a corrected training step; subclasses provide replay and updates."""

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dreamerv3 import DreamerV3

from dreamer_exp.algorithms.rllib.replay_algorithm import ReplayAlgorithm


class BaseDreamerV3(ReplayAlgorithm, DreamerV3):  # type: ignore[misc]  # RLlib is untyped
    """DreamerV3 with the training step of ReplayAlgorithm."""

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        self._batch_steps = self._first_steps = config.batch_size_B * config.batch_length_T
        self._ratio = config.training_ratio
        super().setup(config)
