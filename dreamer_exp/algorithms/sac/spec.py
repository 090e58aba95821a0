"""`algo=sac`: RLlib's SAC."""

from dreamer_exp.algorithms.policy_values import described
from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.model_free import size_text
from dreamer_exp.algorithms.sac.config import (
    SACAlgo,
    SACAlgoConfig,
    check,
    check_contract,
    first_steps,
    resolve,
    update_on_cpu,
)
from dreamer_exp.algorithms.sac.memory import memory_model, settle
from dreamer_exp.algorithms.sac.sizes import NETWORK, POLICY_FORMAT
from dreamer_exp.algorithms.spec import AlgorithmSpec, UpdateWork, WeightScope

METRICS = {  # to the names of RLlib 2.60, but for entropy and gradient norm
    "loss/total": "total_loss",
    "loss/actor": "policy_loss",
    "loss/critic": "qf_loss",
    "loss/critic_twin": "qf_twin_loss",
    "loss/alpha": "alpha_loss",
    "actor_entropy": "entropy",
    "entropy_weight": "alpha_value",
    "value_mean": "qf_mean",
    "grad_norm/total": "grad_norm",
}


def load() -> Implementation:
    """Import the implementation."""
    from dreamer_exp.algorithms.sac.implementation import IMPLEMENTATION

    return IMPLEMENTATION


def work(algo: SACAlgo) -> UpdateWork:
    """Return training ratio and batch."""
    batch = (algo.train_batch_size_per_learner,)
    return UpdateWork(algo.training_intensity, batch, first_env_steps=first_steps(algo))


PARTS = ("pi_encoder", "pi", "qf_encoder", "qf", "qf_twin_encoder", "qf_twin")
TARGETS = tuple(f"target_{name}" for name in PARTS if name.startswith("qf"))

SPEC = AlgorithmSpec(
    name="sac",
    config=SACAlgoConfig,
    resolve=resolve,
    check=check,
    check_contract=check_contract,
    load=load,
    work=work,
    memory=memory_model,
    size=size_text,
    metrics=METRICS,
    policy_format=POLICY_FORMAT.fits,
    policy_weights=POLICY_FORMAT.weights,
    network=lambda algo: described(algo, NETWORK),
    scopes={"all": WeightScope((*PARTS, *TARGETS), ("observation_size", "action", "network"))},
    settle=settle,
    update_on_cpu=update_on_cpu,
    network_keys=tuple(NETWORK),
    uses_learner_threads=True,
)
