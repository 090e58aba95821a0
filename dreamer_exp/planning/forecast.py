"""What is known of a run before torch is imported: memory, the replay's capacity and place, the network's size."""

from dataclasses import dataclass, replace

from dreamer_exp.algorithms.dreamerv3.sizes import BINS, NetworkSize
from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.config.schema import AUTO
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import Machine

FLOAT32 = 4
# Python objects around a step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info slot, reward):
# what tracemalloc counts, held to 5 % by tests/dreamer/test_replay.py
OVERHEAD_BYTES = 420
FLAGS = 3  # is_first, is_last and is_terminal, in the fast learner's replay

# Measured on Linux with Ray 2.60, torch 2.13 and crowd_nav; an environment may take more.
MAIN_BYTES = 500 * 2**20  # the main process, without network and replay
RAY_BYTES = 300 * 2**20  # the processes of a local Ray instance
RUNNER_BYTES = 350 * 2**20  # an env runner's process, without its network: what it shares with no other
MOMENTS = 3  # in a checkpoint: weights, and the optimiser's two moments of them
WEIGHT_COPIES = 4  # weights, their gradients, two moments of the optimiser
ACTIVATIONS = 5  # floats that an update holds on a CPU, over B x T x (H + 1) x (D + S*C + units)
# trained and slow weights of RLlib's networks: without an observation, and more for each of its floats
RLLIB_WEIGHTS = {
    "nano": (20e3, 33), "micro": (63e3, 65), "mini": (282e3, 129), "XXS": (1.68e6, 257), "XS": (3.88e6, 513),
    "S": (11.96e6, 1025), "M": (25.07e6, 1281), "L": (54.73e6, 1537), "XL": (146.66e6, 2049),
}  # fmt: skip


@dataclass(frozen=True)
class Forecast:
    """The replay at its fullest in this run: on a GPU, which is asked for all of it at once, at its capacity; what all
    processes of the run take of the host's memory beside it; and its checkpoints on the disk at their largest."""

    bytes_per_step: int
    replay_steps: int
    replay_bytes: int
    beside_bytes: int
    checkpoint_bytes: int
    checkpoints: int  # that lie on the disk at one time


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Bytes a step, the steps and bytes in the replay when it is full or the run is over, and what is beside it."""
    bytes_per_step = _bytes_per_step(experiment, contract)
    run_steps = experiment.run.train_iterations * experiment.hardware.env_steps_per_iteration
    first_batch = experiment.algo.batch_size_B * experiment.algo.batch_length_T
    steps = min(experiment.algo.replay_capacity, max(run_steps, first_batch))
    weights, acting = _weight_bytes(experiment, contract)
    checkpoint = steps * bytes_per_step + MOMENTS * weights + acting
    if getattr(experiment.algo, "replay_device", "cpu") == "cuda":
        steps = experiment.algo.replay_capacity
    return Forecast(
        bytes_per_step,
        steps,
        steps * bytes_per_step,
        _bytes_beside(experiment, contract),
        checkpoint,
        experiment.run.keep_checkpoints + 2,  # the best one, and the one that is being written
    )


def host_bytes(experiment: Experiment, expected: Forecast) -> int:
    """What the run takes of the host at its fullest."""
    on_host = expected.replay_bytes if getattr(experiment.algo, "replay_device", "cpu") != "cuda" else 0
    return expected.beside_bytes + on_host


def _bytes_per_step(experiment: Experiment, contract: ObservationContract) -> int:
    published = experiment.algo.name == "dreamerv3"
    return _bytes_of_fast(experiment, contract) if published else _bytes_of_rllib(contract)


def _bytes_of_rllib(contract: ObservationContract) -> int:
    action = contract.action.size if contract.action.kind == "box" else 1
    return FLOAT32 * (contract.size + action) + OVERHEAD_BYTES


def _bytes_of_fast(experiment: Experiment, contract: ObservationContract) -> int:
    """Observation, action (one-hot where Discrete) and reward in float32, deter in float16, a byte a categorical."""
    network: NetworkSize = experiment.algo.network
    return FLOAT32 * (contract.size + contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def _bytes_beside(experiment: Experiment, contract: ObservationContract) -> int:
    """The main process; of a local Ray also its own processes, the env runners' and the learner's."""
    hardware, (weights, acting) = experiment.hardware, _weight_bytes(experiment, contract)
    taken = MAIN_BYTES + acting
    here = hardware.ray_address is None
    if here:
        taken += RAY_BYTES + hardware.num_env_runners * (RUNNER_BYTES + acting) + hardware.num_learners * MAIN_BYTES
    if not hardware.num_gpus_per_learner and (here or not hardware.num_learners):
        taken += max(1, hardware.num_learners) * (WEIGHT_COPIES * weights + _update_bytes(experiment))
    return taken


def _weight_bytes(experiment: Experiment, contract: ObservationContract) -> tuple[int, int]:
    """Of the whole network, and of what acts."""
    parts = _parts(experiment, contract)
    if parts:
        return FLOAT32 * sum(parts.values()), FLOAT32 * sum(parts[name] for name in ("encoder", "rssm", "actor"))
    fixed, per_float = RLLIB_WEIGHTS[experiment.algo.model_size]
    whole = FLOAT32 * (int(fixed) + per_float * contract.size)
    return whole, whole


def _update_bytes(experiment: Experiment) -> int:
    """What one update of the fast learner computes on the way; RLlib's isn't known."""
    algo, network = experiment.algo, getattr(experiment.algo, "network", None)
    if network is None:
        return 0
    states = algo.batch_size_B * algo.batch_length_T * (algo.horizon_H + 1)
    return int(ACTIVATIONS * FLOAT32 * states * (network.feature + network.units))


def place_replay(experiment: Experiment, contract: ObservationContract, machine: Machine) -> Experiment:
    """The experiment with what waited for the observation's size decided: a replay_capacity in bytes becomes steps,
    and an "auto" replay_device cuda where the full replay takes less than half of the GPU's memory, which the network
    and its updates need too; cpu where it takes more, or that memory isn't known.

    Raises:
        UserError: so many bytes hold fewer steps than are drawn at once.
    """
    experiment = _in_steps(experiment, contract)
    if getattr(experiment.algo, "replay_device", "cpu") != AUTO:
        return experiment
    on_gpu = replace(experiment, algo=replace(experiment.algo, replay_device="cuda"))
    room = replay_room(on_gpu, machine) or 0
    if 2 * forecast(on_gpu, contract).replay_bytes < room:
        return on_gpu
    return replace(experiment, algo=replace(experiment.algo, replay_device="cpu"))


def _in_steps(experiment: Experiment, contract: ObservationContract) -> Experiment:
    asked = experiment.algo.replay_capacity
    if not isinstance(asked, str):
        return experiment
    steps = (parse_bytes(asked) or 0) // _bytes_per_step(experiment, contract)
    counted = replace(experiment, algo=replace(experiment.algo, replay_capacity=steps))
    try:
        find_spec("algorithms", experiment.algo.name).check(counted)
    except UserError as error:
        raise UserError(f"algo.replay_capacity={asked!r} holds {steps:,} steps: {error}") from error
    return counted


def replay_room(experiment: Experiment, machine: Machine) -> int | None:
    """Bytes there are where the replay lies: all of the GPU's, or the free ones of the host; None if not known."""
    if _learns_elsewhere(experiment):
        return None
    on_gpu = getattr(experiment.algo, "replay_device", "cpu") == "cuda"
    return (machine.gpu_memory_bytes or None) if on_gpu else machine.memory_available_bytes


def _learns_elsewhere(experiment: Experiment) -> bool:
    """Whether the replay lies beside its learner, somewhere in a cluster."""
    hardware = experiment.hardware
    return experiment.algo.name == "dreamerv3" and hardware.num_learners > 0 and hardware.ray_address is not None


def check_memory(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Refuses a run whose processes, or whose replay at its fullest in this run, take more memory than there is.

    Raises:
        UserError: says what they take, and how many processes or steps fit.
    """
    expected, room = forecast(experiment, contract), replay_room(experiment, machine)
    on_gpu = getattr(experiment.algo, "replay_device", "cpu") == "cuda"
    if not _learns_elsewhere(experiment):
        _check_processes(experiment, expected, machine)
    if room is not None and not on_gpu:
        room -= expected.beside_bytes
    if room is None or expected.replay_bytes <= room:
        return
    held = "steps, which a GPU holds from the beginning" if on_gpu else "steps that this run can hold"
    there = f"the GPU has {gibibytes(room)}" if on_gpu else f"{gibibytes(room)} are left for it ({_host(machine)})"
    otherwise = ", or use algo.replay_device=cpu" if on_gpu else ""
    raise UserError(
        f"algo.replay_capacity={experiment.algo.replay_capacity}: {contract.size:,} floats a step make "
        f"{expected.replay_bytes // 10**9} GB ({gibibytes(expected.replay_bytes)}) at the {expected.replay_steps:,} "
        f"{held}, and {there}; at most {room // expected.bytes_per_step:,} steps fit{otherwise}."
    )


def _check_processes(experiment: Experiment, expected: Forecast, machine: Machine) -> None:
    if expected.beside_bytes > machine.memory_available_bytes:
        raise UserError(
            f"hardware.num_env_runners={experiment.hardware.num_env_runners}: main process, env runners and learner "
            f"take {gibibytes(expected.beside_bytes)} without the replay, and there are {_host(machine)}; take fewer "
            "env runners, or a smaller algo.model_size or batch."
        )


def _host(machine: Machine) -> str:
    """The memory that is free, and where that was read."""
    return f"{gibibytes(machine.memory_available_bytes)} free, {machine.sources['memory_available_bytes']}"


def parameters(experiment: Experiment, contract: ObservationContract) -> int | None:
    """Trained parameters of the fast learner's network (algorithms/dreamerv3/agent.py); None for RLlib's."""
    parts = _parts(experiment, contract)
    return sum(parts.values()) if parts else None


def _parts(experiment: Experiment, contract: ObservationContract) -> dict[str, int]:
    """The same by the agent's parts; empty for RLlib's network."""
    network = getattr(experiment.algo, "network", None)
    if network is None:
        return {}
    deter, hidden, units, latent = network.deter, network.hidden, network.units, network.latent
    block, actions = deter // network.blocks, contract.action.size
    core = deter * (block + 3 * hidden + 1) + deter + 3 * deter * (block + 1)  # weights, norm, gates
    inner = sum(_mlp(inputs, hidden, 1) for inputs in (deter, latent, actions))
    posterior = _mlp(deter + units, hidden, 1) + _mlp(hidden, hidden, network.posterior_layers - 1, latent)
    prior = _mlp(deter, hidden, network.prior_layers, latent)
    heads = {
        "decoder": (network.decoder_layers, contract.size),
        "reward": (network.reward_layers, BINS),
        "cont": (network.continue_layers, 1),
        "actor": (network.actor_layers, actions if contract.action.kind == "discrete" else 2 * actions),
        "critic": (network.critic_layers, BINS),
    }
    return {
        "encoder": _mlp(contract.size, units, network.encoder_layers),
        "rssm": core + inner + posterior + prior,
        **{name: _mlp(network.feature, units, layers, outputs) for name, (layers, outputs) in heads.items()},
    }


def _mlp(inputs: int, units: int, layers: int, outputs: int | None = None) -> int:
    """Parameters of layers with bias and norm, and of an output layer with bias where there is one."""
    total = 0
    for _ in range(layers):
        total += (inputs + 2) * units
        inputs = units
    return total if outputs is None else total + (inputs + 1) * outputs
