"""RLlib's config of an experiment with `algo=dreamerv3`."""

from dreamer_exp.algorithms.dreamerv3.acting.env_runner import AgentEnvRunner
from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.dreamerv3.backends.requirements import why_not_fused
from dreamer_exp.algorithms.dreamerv3.config import resolved
from dreamer_exp.algorithms.dreamerv3.loss_scales import decoder_weights
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part, parts_of_contract, write_parts
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.rllib.training_keys import set_training_keys
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of


def configure(experiment: Experiment) -> PublishedDreamerV3Config:
    """Return RLlib's config of the experiment, without environment, processes and seed."""
    algo, hardware = resolved(experiment), experiment.hardware
    parts = _parts(experiment)
    config = PublishedDreamerV3Config(PublishedDreamerV3)
    set_training_keys(config, algo)
    config.published(
        network=algo.network,
        backend=algo.backend,
        why_not_fused=why_not_fused(algo),
        precision=algo.precision,
        lr_warmup=algo.lr_warmup,
        lr_decay_start=algo.lr_decay_start,
        lr_decay_end=algo.lr_decay_end,
        adaptive_grad_clip=algo.adaptive_grad_clip,
        loss_scales=algo.loss_scales,
        decoder_scales=algo.decoder_scales,
        decoder_weights=_decoder_weights(experiment),
        observation=write_parts(parts),
        replay_device=algo.replay_device,
        overlap_sampling=hardware.overlap_sampling,
        learner_threads=hardware.learner_threads,
    )
    config.env_runners(env_runner_cls=AgentEnvRunner)
    return config


def _parts(experiment: Experiment) -> tuple[Part, ...]:
    """Return the parts of the observation; making the contract can start an environment."""
    if not experiment.obs_contract.encoders:
        return ()
    return parts_of_contract(contract_of(experiment.env, experiment.obs_contract))


def _decoder_weights(experiment: Experiment) -> tuple[float, ...] | None:
    """Return the weights of the observation's elements; making the contract can start an environment."""
    scales = resolved(experiment).decoder_scales
    return decoder_weights(scales, contract_of(experiment.env, experiment.obs_contract)) if scales else None
