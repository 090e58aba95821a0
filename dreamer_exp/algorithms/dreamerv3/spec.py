"""`algo=dreamerv3`: DreamerV3 as published."""

from dataclasses import asdict, fields

from dreamer_exp.algorithms.dreamerv3.backends.requirements import expected_backend, multiprocessors
from dreamer_exp.algorithms.dreamerv3.config import (
    DreamerV3AlgoConfig,
    check,
    check_contract,
    resolve,
    resolved,
    update_on_cpu,
)
from dreamer_exp.algorithms.dreamerv3.memory import memory_model, settle
from dreamer_exp.algorithms.dreamerv3.sizes import POLICY_FORMAT, NetworkSize
from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.base_config import imagination, update_work, warnings
from dreamer_exp.algorithms.spec import AlgorithmSpec, WeightScope

METRICS = {
    "loss/total": "total",
    "loss/world_model": "world_model",
    "loss/decoder": "decoder",
    "loss/reward": "reward",
    "loss/continue": "continue",
    "loss/dynamics": "dynamics",
    "loss/representation": "representation",
    "loss/actor": "actor",
    "loss/critic": "critic",
    "loss/critic_replay": "critic_replay",
    "actor_entropy": "entropy",
    "advantage_abs_mean": "advantage",
    "return_scale": "return_scale",
    "return_percentile_5": "return_low",
    "return_percentile_95": "return_high",
    "grad_norm/world_model": "grad_norm_world_model",
    "grad_norm/actor": "grad_norm_actor",
    "grad_norm/critic": "grad_norm_critic",
}


ENCODER = ("agent.encoder",)
WORLD_MODEL = (*ENCODER, "agent.rssm", "agent.decoder", "agent.reward", "agent.cont")
HEADS_OF_ACTING = ("network.actor_layers", "network.critic_layers")
OBSERVATION = ("observation_size", "symlog_obs")
NETWORK = tuple(f"network.{declared.name}" for declared in fields(NetworkSize))
SCOPES = {
    "encoder": WeightScope(ENCODER, (*OBSERVATION, "network.units", "network.encoder_layers")),
    "world_model": WeightScope(
        WORLD_MODEL, (*OBSERVATION, "action", *(name for name in NETWORK if name not in HEADS_OF_ACTING))
    ),
    "all": WeightScope(
        (*WORLD_MODEL, "agent.actor", "agent.critic", "agent.slow_critic"), (*OBSERVATION, "action", *NETWORK)
    ),
}


def load() -> Implementation:
    """Import the implementation."""
    from dreamer_exp.algorithms.dreamerv3.implementation import IMPLEMENTATION

    return IMPLEMENTATION


SPEC = AlgorithmSpec(
    name="dreamerv3",
    config=DreamerV3AlgoConfig,
    resolve=resolve,
    check=check,
    check_contract=check_contract,
    load=load,
    work=lambda algo: update_work(algo)._replace(windows=True),
    memory=memory_model,
    size=lambda algo: str(algo.model_size),
    metrics=METRICS,
    metric_families={"loss/decoder/": "decoder/"},
    policy_format=POLICY_FORMAT.fits,
    policy_weights=POLICY_FORMAT.weights,
    network=lambda algo: {"network": asdict(algo.network), "symlog_obs": algo.symlog_obs},
    scopes=SCOPES,
    warnings=lambda experiment: warnings(resolved(experiment), experiment.obs_contract.scaling),
    settle=settle,
    update_on_cpu=update_on_cpu,
    backend=expected_backend,
    multiprocessors=multiprocessors,
    imagination=imagination,
    network_keys=("model_size", "network", "symlog_obs"),
    overlaps_sampling=True,
    uses_learner_threads=True,
)
