"""RLlib config of the stock algorithm."""

from ray.rllib.algorithms.dreamerv3 import DreamerV3Config

from dreamer_exp.algorithms.dreamerv3_rllib.algorithm import StockDreamerV3
from dreamer_exp.algorithms.dreamerv3_rllib.config import resolved
from dreamer_exp.algorithms.dreamerv3_rllib.episode_callback import EpisodeCallback
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner
from dreamer_exp.algorithms.rllib.training_keys import set_training_keys
from dreamer_exp.config.experiment import Experiment


def configure(experiment: Experiment) -> DreamerV3Config:
    """Return RLlib's config of the experiment, without environment, processes and seed."""
    algo = resolved(experiment)
    config = DreamerV3Config(StockDreamerV3)
    set_training_keys(config, algo)
    config.training(
        intrinsic_rewards_scale=algo.intrinsic_rewards_scale,
        world_model_grad_clip_by_global_norm=algo.world_model_grad_clip_by_global_norm,
        actor_grad_clip_by_global_norm=algo.actor_grad_clip_by_global_norm,
        critic_grad_clip_by_global_norm=algo.critic_grad_clip_by_global_norm,
    )
    config.env_runners(env_runner_cls=SeededEnvRunner)
    config.callbacks(EpisodeCallback)
    return config
