"""What is known of a run before torch is imported: the replay's memory and place, the network's parameters."""

from dataclasses import dataclass, replace

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO
from dreamer_exp.config.sizes import BINS
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.hardware import Machine

FLOAT32 = 4
# Python objects around a step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info slot, reward):
# what tracemalloc counts, held to 5 % by tests/dreamer/test_replay.py
OVERHEAD_BYTES = 420
FLAGS = 3  # is_first, is_last and is_terminal, in the fast learner's replay


@dataclass(frozen=True)
class Forecast:
    """The replay at its fullest in this run: on a GPU, which is asked for all of it at once, at its capacity."""

    bytes_per_step: int
    replay_steps: int
    replay_bytes: int


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Bytes a step, and the steps and bytes in the replay when it is full or the run is over."""
    bytes_per_step = _bytes_of_fast(experiment, contract) if experiment.algo.network else _bytes_of_rllib(contract)
    run_steps = experiment.run.train_iterations * experiment.hardware.env_steps_per_iteration
    first_batch = experiment.algo.batch_size_B * experiment.algo.batch_length_T
    steps = min(experiment.algo.replay_capacity, max(run_steps, first_batch))
    if experiment.algo.replay_device == "cuda":
        steps = experiment.algo.replay_capacity
    return Forecast(bytes_per_step, steps, steps * bytes_per_step)


def _bytes_of_rllib(contract: ObservationContract) -> int:
    action = contract.action.size if contract.action.kind == "box" else 1
    return FLOAT32 * (contract.size + action) + OVERHEAD_BYTES


def _bytes_of_fast(experiment: Experiment, contract: ObservationContract) -> int:
    """Observation, action (one-hot where Discrete) and reward in float32, deter in float16, a byte a categorical."""
    network = experiment.algo.network
    assert network is not None
    return FLOAT32 * (contract.size + contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def place_replay(experiment: Experiment, contract: ObservationContract, machine: Machine) -> Experiment:
    """The experiment with an "auto" replay_device replaced: cuda where the full replay takes less than half of the
    GPU's memory, which the network and its updates need too; cpu where it takes more, or that memory isn't known."""
    if experiment.algo.replay_device != AUTO:
        return experiment
    on_gpu = replace(experiment, algo=replace(experiment.algo, replay_device="cuda"))
    room = replay_room(on_gpu, machine) or 0
    if 2 * forecast(on_gpu, contract).replay_bytes < room:
        return on_gpu
    return replace(experiment, algo=replace(experiment.algo, replay_device="cpu"))


def replay_room(experiment: Experiment, machine: Machine) -> int | None:
    """Bytes there are where the replay lies: all of the GPU's, or the free ones of the host; None if not known."""
    algo, hardware = experiment.algo, experiment.hardware
    if algo.learner == "fast" and hardware.num_learners and hardware.ray_address is not None:
        return None  # it lies beside its learner, somewhere in the cluster
    return (machine.gpu_memory_bytes or None) if algo.replay_device == "cuda" else machine.memory_available_bytes


def check_memory(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Refuses a run whose replay, at its fullest in this run, is more than the memory where it lies.

    Raises:
        UserError: says what a step takes, what the replay would, and how many steps fit.
    """
    expected, room = forecast(experiment, contract), replay_room(experiment, machine)
    if room is None or expected.replay_bytes <= room:
        return
    on_gpu = experiment.algo.replay_device == "cuda"
    held = "steps, which a GPU holds from the beginning" if on_gpu else "steps that this run can hold"
    there = f"the GPU has {gibibytes(room)}" if on_gpu else f"this machine has {gibibytes(room)} free"
    otherwise = ", or use algo.replay_device=cpu" if on_gpu else ""
    raise UserError(
        f"algo.replay_capacity={experiment.algo.replay_capacity}: {contract.size:,} floats a step make "
        f"{expected.replay_bytes // 10**9} GB ({gibibytes(expected.replay_bytes)}) at the {expected.replay_steps:,} "
        f"{held}, and {there}; at most {room // expected.bytes_per_step:,} steps fit{otherwise}."
    )


def parameters(experiment: Experiment, contract: ObservationContract) -> int | None:
    """Trained parameters of the fast learner's network (dreamer/fast/agent.py); None for RLlib's."""
    network = experiment.algo.network
    if network is None:
        return None
    deter, hidden, units, latent = network.deter, network.hidden, network.units, network.latent
    block, actions = deter // network.blocks, contract.action.size
    core = deter * (block + 3 * hidden + 1) + deter + 3 * deter * (block + 1)  # weights, norm, gates
    inner = sum(_mlp(inputs, hidden, 1) for inputs in (deter, latent, actions))
    posterior = _mlp(deter + units, hidden, 1) + _mlp(hidden, hidden, network.posterior_layers - 1, latent)
    prior = _mlp(deter, hidden, network.prior_layers, latent)
    heads = (
        (network.decoder_layers, contract.size),
        (network.reward_layers, BINS),
        (network.continue_layers, 1),
        (network.actor_layers, actions if contract.action.kind == "discrete" else 2 * actions),
        (network.critic_layers, BINS),
    )
    encoder = _mlp(contract.size, units, network.encoder_layers)
    of_heads = sum(_mlp(network.feature, units, layers, outputs) for layers, outputs in heads)
    return encoder + core + inner + posterior + prior + of_heads


def _mlp(inputs: int, units: int, layers: int, outputs: int | None = None) -> int:
    """Parameters of layers with bias and norm, and of an output layer with bias where there is one."""
    total = 0
    for _ in range(layers):
        total += (inputs + 2) * units
        inputs = units
    return total if outputs is None else total + (inputs + 1) * outputs


def gibibytes(count: int) -> str:
    """A number of bytes as text."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"
