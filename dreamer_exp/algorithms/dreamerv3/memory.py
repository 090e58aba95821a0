"""Memory of `algo=dreamerv3`, and the options that depend on it, without torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo, check, resolved
from dreamer_exp.algorithms.dreamerv3.sizes import BINS, NetworkSize
from dreamer_exp.algorithms.rllib.base_config import capacity_in_steps
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO
from dreamer_exp.envs.contract import ObservationContract

FLOAT32 = 4  # bytes
FLAGS = 3  # bytes of is_first, is_last and is_terminal in a replayed step
ACTIVATIONS = 5  # measured: floats of an update on a CPU per B * T * (H + 1) * (D + S * C + units)
ACTING = ("encoder", "rssm", "actor")  # parts of the network that an env runner has


def memory_model(experiment: Experiment, contract: ObservationContract) -> MemoryModel:
    """Return what the algorithm keeps in memory, once `settle` has given `replay_device` and `replay_capacity`."""
    algo = resolved(experiment)
    parts = parameters_by_part(algo.network, contract)
    states = algo.batch_size_B * algo.batch_length_T * (algo.horizon_H + 1)
    return MemoryModel(
        weight_bytes=FLOAT32 * sum(parts.values()),
        acting_bytes=FLOAT32 * sum(parts[name] for name in ACTING),
        update_bytes=ACTIVATIONS * FLOAT32 * states * (algo.network.feature + algo.network.units),
        parameters=sum(parts.values()),
        bytes_per_step=bytes_per_step(algo.network, contract),
        replay_capacity=algo.replay_capacity,
        replay_on_gpu=algo.replay_device == "cuda",
        replay_with_learner=True,
    )


def settle(experiment: Experiment, contract: ObservationContract, gpu_memory_bytes: int) -> DreamerV3Algo:
    """Return the options once the observation is known.

    A `replay_capacity` in bytes becomes steps. An "auto" `replay_device` becomes cuda if the full replay needs less
    than half of the GPU's memory, which the network and its updates need too; otherwise cpu.

    Args:
        experiment: the resolved experiment.
        contract: its observation contract.
        gpu_memory_bytes: memory of the learner's GPU; 0 if unknown.

    Raises:
        UserError: the bytes hold too few steps.
    """
    algo = resolved(experiment)
    step_bytes = bytes_per_step(algo.network, contract)
    algo = capacity_in_steps(experiment, algo, step_bytes, check)
    if algo.replay_device != AUTO:
        return algo
    fits = 2 * algo.replay_capacity * step_bytes < gpu_memory_bytes
    return replace(algo, replay_device="cuda" if fits else "cpu")


def bytes_per_step(network: NetworkSize, contract: ObservationContract) -> int:
    """Return the bytes of a replayed step.

    Observation, action (one-hot if Discrete) and reward are float32, deter is float16, a categorical is a byte.
    """
    return FLOAT32 * (contract.size + contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def parameters_by_part(network: NetworkSize, contract: ObservationContract) -> dict[str, int]:
    """Return the number of trained parameters of each part of the network (agent.py)."""
    return _parts(network, contract.size, contract.action.size, contract.action.kind == "discrete")


def policy_weights(description: Mapping[str, Any]) -> int:
    """Return the number of trained parameters of the network that a policy.json describes, or of its acting parts."""
    action = description["action"]
    network = NetworkSize(**description["network"])
    parts = _parts(network, description["observation_size"], action["size"], action["kind"] == "discrete")
    return sum(parts[name] for name in (ACTING if description.get("acting_only") else parts))


def _parts(network: NetworkSize, observation_size: int, actions: int, is_discrete: bool) -> dict[str, int]:
    deter, hidden, units, latent = network.deter, network.hidden, network.units, network.latent
    block = deter // network.blocks
    core = deter * (block + 3 * hidden + 1) + deter + 3 * deter * (block + 1)  # weights, norm, gates
    inner = sum(_mlp(inputs, hidden, 1) for inputs in (deter, latent, actions))
    posterior = _mlp(deter + units, hidden, 1) + _mlp(hidden, hidden, network.posterior_layers - 1, latent)
    prior = _mlp(deter, hidden, network.prior_layers, latent)
    heads = {
        "decoder": (network.decoder_layers, observation_size),
        "reward": (network.reward_layers, BINS),
        "cont": (network.continue_layers, 1),
        "actor": (network.actor_layers, actions if is_discrete else 2 * actions),
        "critic": (network.critic_layers, BINS),
    }
    return {
        "encoder": _mlp(observation_size, units, network.encoder_layers),
        "rssm": core + inner + posterior + prior,
        **{name: _mlp(network.feature, units, layers, outputs) for name, (layers, outputs) in heads.items()},
    }


def _mlp(inputs: int, units: int, layers: int, outputs: int | None = None) -> int:
    """Return the number of parameters of layers with bias and norm, and of an output layer with bias if given."""
    total = 0
    for _ in range(layers):
        total += (inputs + 2) * units
        inputs = units
    return total if outputs is None else total + (inputs + 1) * outputs
