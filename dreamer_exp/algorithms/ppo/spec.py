"""`algo=ppo`: RLlib's PPO."""

from dreamer_exp.algorithms.policy_values import described
from dreamer_exp.algorithms.ppo.config import PPOAlgo, PPOAlgoConfig, check, resolve
from dreamer_exp.algorithms.ppo.memory import memory_model
from dreamer_exp.algorithms.ppo.sizes import NETWORK, POLICY_FORMAT
from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.model_free import size_text
from dreamer_exp.algorithms.spec import AlgorithmSpec, UpdateWork, WeightScope

METRICS = {  # to the names of RLlib 2.60, but for the gradient norm
    "loss/total": "total_loss",
    "loss/actor": "policy_loss",
    "loss/critic": "vf_loss_unclipped",
    "actor_entropy": "entropy",
    "policy_kl": "mean_kl_loss",
    "policy_kl_coefficient": "curr_kl_coeff",
    "value_explained_variance": "vf_explained_var",
    "grad_norm/total": "grad_norm",
}


def load() -> Implementation:
    """Import the implementation."""
    from dreamer_exp.algorithms.ppo.implementation import IMPLEMENTATION

    return IMPLEMENTATION


def work(algo: PPOAlgo) -> UpdateWork:
    """Return that each env step is used once in an epoch, and that no update waits for a replay."""
    return UpdateWork(float(algo.num_epochs), (algo.minibatch_size,), first_env_steps=0)


SPEC = AlgorithmSpec(
    name="ppo",
    config=PPOAlgoConfig,
    resolve=resolve,
    check=check,
    load=load,
    work=work,
    memory=memory_model,
    size=size_text,
    metrics=METRICS,
    policy_format=POLICY_FORMAT.fits,
    policy_weights=POLICY_FORMAT.weights,
    network=lambda algo: described(algo, NETWORK),
    scopes={"all": WeightScope(("encoder", "pi", "vf"), ("observation_size", "action", "network"))},
    network_keys=tuple(NETWORK),
)
