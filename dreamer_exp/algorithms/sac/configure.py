"""RLlib's config of an experiment with `algo=sac`."""

from dreamer_exp.algorithms.sac.algorithm import ReplaySAC
from dreamer_exp.algorithms.sac.config import resolved
from dreamer_exp.algorithms.sac.env_runner import SquashedEnvRunner
from dreamer_exp.algorithms.sac.rllib_config import ReplaySACConfig, model_config
from dreamer_exp.algorithms.sac.sizes import NETWORK
from dreamer_exp.config.experiment import Experiment


def configure(experiment: Experiment) -> ReplaySACConfig:
    """Return RLlib's config of the experiment, without environment, processes and seed."""
    algo = resolved(experiment)
    config = ReplaySACConfig(ReplaySAC)
    config._dont_auto_sync_env_runner_states = True  # the env runner has no connectors
    config.learner_threads = experiment.hardware.learner_threads
    config.training(
        gamma=algo.gamma,
        training_intensity=algo.training_intensity,
        train_batch_size_per_learner=algo.train_batch_size_per_learner,
        num_steps_sampled_before_learning_starts=algo.num_steps_sampled_before_learning_starts,
        actor_lr=algo.actor_lr,
        critic_lr=algo.critic_lr,
        alpha_lr=algo.alpha_lr,
        initial_alpha=algo.initial_alpha,
        tau=algo.tau,
        grad_clip=algo.grad_clip,
        # ReplayLearner has the replay; RLlib's own stays empty, and this type allocates nothing
        replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": algo.replay_capacity},
    )
    config.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)  # one training step each
    config.rl_module(model_config=model_config({name: getattr(algo, name) for name in NETWORK}))
    config.env_runners(env_runner_cls=SquashedEnvRunner)
    return config
