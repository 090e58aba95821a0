"""RLlib's config of an experiment with `algo=ppo`."""

from dreamer_exp.algorithms.ppo.algorithm import CollectingPPO
from dreamer_exp.algorithms.ppo.config import resolved
from dreamer_exp.algorithms.ppo.env_runner import ActorEnvRunner
from dreamer_exp.algorithms.ppo.rllib_config import EpochPPOConfig, model_config
from dreamer_exp.algorithms.ppo.sizes import NETWORK
from dreamer_exp.config.experiment import Experiment


def configure(experiment: Experiment) -> EpochPPOConfig:
    """Return RLlib's config of the experiment, without environment, processes and seed."""
    algo = resolved(experiment)
    config = EpochPPOConfig(CollectingPPO)
    config._dont_auto_sync_env_runner_states = True  # the env runner has no connectors
    config.training(
        lr=algo.lr,
        gamma=algo.gamma,
        lambda_=algo.lambda_,
        train_batch_size_per_learner=algo.train_batch_size_per_learner,
        minibatch_size=algo.minibatch_size,
        num_epochs=algo.num_epochs,
        clip_param=algo.clip_param,
        vf_clip_param=algo.vf_clip_param,
        vf_loss_coeff=algo.vf_loss_coeff,
        entropy_coeff=algo.entropy_coeff,
        use_kl_loss=algo.use_kl_loss,
        kl_coeff=algo.kl_coeff,
        kl_target=algo.kl_target,
        grad_clip=algo.grad_clip,
    )
    config.rl_module(model_config=model_config({name: getattr(algo, name) for name in NETWORK}))
    config.env_runners(env_runner_cls=ActorEnvRunner)
    return config
