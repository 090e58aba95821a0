"""The keys that both DreamerV3 algorithms pass to RLlib's DreamerV3Config."""

from ray.rllib.algorithms.dreamerv3 import DreamerV3Config

from dreamer_exp.algorithms.rllib.base_config import BaseDreamerV3Config


def set_training_keys(config: DreamerV3Config, algo: BaseDreamerV3Config) -> None:
    """Set the keys of BaseDreamerV3Config."""
    config._dont_auto_sync_env_runner_states = True  # BaseDreamerV3 does, where it can handle a dead env runner
    config.training(
        model_size=algo.model_size,
        training_ratio=algo.training_ratio,
        batch_size_B=algo.batch_size_B,
        batch_length_T=algo.batch_length_T,
        horizon_H=algo.horizon_H,
        gamma=algo.gamma,
        gae_lambda=algo.gae_lambda,
        entropy_scale=algo.entropy_scale,
        return_normalization_decay=algo.return_normalization_decay,
        train_actor=algo.train_actor,
        train_critic=algo.train_critic,
        world_model_lr=algo.world_model_lr,
        actor_lr=algo.actor_lr,
        critic_lr=algo.critic_lr,
        symlog_obs=algo.symlog_obs,
        replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": algo.replay_capacity},
    )
