"""RLlib config of the published algorithm: DreamerV3Config with the keys that RLlib lacks."""

from dataclasses import asdict
from typing import Any

from ray.rllib.algorithms.dreamerv3 import DreamerV3Config
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES
from dreamer_exp.algorithms.dreamerv3.module import AgentModule
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize


class PublishedDreamerV3Config(DreamerV3Config):  # type: ignore[misc]  # RLlib is untyped
    """DreamerV3Config whose defaults are AgentModule and AgentLearner."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class)
        self.network = SIZES["XS"]
        self.backend = "eager"
        self.why_not_fused = ""
        self.precision = "float32"
        self.lr_warmup = 1000
        self.lr_decay_start = 0
        self.lr_decay_end = 0
        self.adaptive_grad_clip = 0.3
        self.loss_scales = LOSS_SCALES.copy()
        self.decoder_scales: dict[str, float] = {}
        self.decoder_weights: tuple[float, ...] | None = None
        self.observation: list[dict[str, Any]] = []
        self.replay_device = "cpu"
        self.overlap_sampling = False
        self.learner_threads = 1

    def published(
        self,
        *,
        network: NetworkSize,
        backend: str,
        why_not_fused: str,
        precision: str,
        lr_warmup: int,
        lr_decay_start: int,
        lr_decay_end: int,
        adaptive_grad_clip: float,
        loss_scales: dict[str, float],
        decoder_scales: dict[str, float],
        decoder_weights: tuple[float, ...] | None,
        observation: list[dict[str, Any]],
        replay_device: str,
        overlap_sampling: bool,
        learner_threads: int,
    ) -> "PublishedDreamerV3Config":
        """Set the keys that DreamerV3Config.training() lacks, and return this config.

        `why_not_fused` is backends/requirements.py's; `decoder_weights` is what `decoder_scales` gives each element of
        the observation (loss_scales.decoder_weights); `observation` are its parts (observation_parts.write_parts);
        `learner_threads` are torch's in the learner's process.
        """
        self.network = network
        self.backend = backend
        self.why_not_fused = why_not_fused
        self.precision = precision
        self.lr_warmup = lr_warmup
        self.lr_decay_start = lr_decay_start
        self.lr_decay_end = lr_decay_end
        self.adaptive_grad_clip = adaptive_grad_clip
        self.loss_scales = loss_scales
        self.decoder_scales = decoder_scales
        self.decoder_weights = decoder_weights
        self.observation = observation
        self.replay_device = replay_device
        self.overlap_sampling = overlap_sampling
        self.learner_threads = learner_threads
        return self

    def get_default_learner_class(self) -> type:
        """Return AgentLearner."""
        return AgentLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the spec of AgentModule."""
        return RLModuleSpec(module_class=AgentModule)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        config = {"size": asdict(self.network), "symlog_obs": self.symlog_obs, "seed": self.seed}
        return {**config, "observation": self.observation} if self.observation else config
