"""`algo=dreamerv3_rllib`: RLlib's stock DreamerV3."""

from dreamer_exp.algorithms.dreamerv3_rllib.config import (
    DreamerV3RLlibAlgoConfig,
    check,
    resolve,
    resolved,
    update_on_cpu,
)
from dreamer_exp.algorithms.dreamerv3_rllib.memory import memory_model, settle
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import NETWORK, POLICY_FORMAT
from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.base_config import imagination, update_work, warnings
from dreamer_exp.algorithms.spec import AlgorithmSpec, WeightScope

METRICS = {  # to the names of RLlib 2.60
    "loss/total": "total_loss",
    "loss/world_model": "WORLD_MODEL_L_total",
    "loss/decoder": "WORLD_MODEL_L_decoder",
    "loss/reward": "WORLD_MODEL_L_reward",
    "loss/continue": "WORLD_MODEL_L_continue",
    "loss/prediction": "WORLD_MODEL_L_prediction",
    "loss/dynamics": "WORLD_MODEL_L_dynamics",
    "loss/representation": "WORLD_MODEL_L_representation",
    "loss/actor": "ACTOR_L_total",
    "loss/actor_reinforce": "ACTOR_L_neglogp_reinforce_term",
    "loss/actor_entropy_term": "ACTOR_L_neg_entropy_term",
    "loss/critic": "CRITIC_L_total",
    "loss/critic_value_targets": "CRITIC_L_neg_logp_of_value_targets",
    "loss/critic_slow_regulariser": "CRITIC_L_slow_critic_regularization",
    "actor_entropy": "ACTOR_action_entropy",
    "return_percentile_5": "ACTOR_value_targets_pct5_ema",
    "return_percentile_95": "ACTOR_value_targets_pct95_ema",
    "grad_norm/world_model": "WORLD_MODEL_gradients_global_norm",
    "grad_norm/actor": "ACTOR_gradients_global_norm",
    "grad_norm/critic": "CRITIC_gradients_global_norm",
    "grad_max/world_model": "WORLD_MODEL_gradients_maxabs_after_clipping",
    "grad_max/actor": "ACTOR_gradients_maxabs_after_clipping",
    "grad_max/critic": "CRITIC_gradients_maxabs_after_clipping",
}


WORLD_MODEL = ("encoder", "decoder", "world_model")
SIZES = ("observation_size", "symlog_obs", "network.model_size")
SCOPES = {
    "encoder": WeightScope(("encoder",), SIZES),
    "world_model": WeightScope(WORLD_MODEL, (*SIZES, "action")),
    "all": WeightScope((*WORLD_MODEL, "actor", "critic"), (*SIZES, "action")),
}


def load() -> Implementation:
    """Import the implementation."""
    from dreamer_exp.algorithms.dreamerv3_rllib.implementation import IMPLEMENTATION

    return IMPLEMENTATION


SPEC = AlgorithmSpec(
    name="dreamerv3_rllib",
    config=DreamerV3RLlibAlgoConfig,
    resolve=resolve,
    check=check,
    load=load,
    work=update_work,
    memory=memory_model,
    size=lambda algo: str(algo.model_size),
    metrics=METRICS,
    policy_format=POLICY_FORMAT.fits,
    policy_weights=POLICY_FORMAT.weights,
    network=lambda algo: {"network": {name: getattr(algo, name) for name in NETWORK}, "symlog_obs": algo.symlog_obs},
    scopes=SCOPES,
    warnings=lambda experiment: warnings(resolved(experiment), experiment.obs_contract.scaling),
    settle=settle,
    update_on_cpu=update_on_cpu,
    imagination=imagination,
    network_keys=("model_size", "symlog_obs"),
)
