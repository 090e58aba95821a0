"""Forecast of a run without importing torch: memory, the replay's capacity and device, the network's parameters."""

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
# Python objects of one step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info, reward), measured with
# tracemalloc; tests/algorithms/dreamerv3_rllib/test_replay.py allows 5 %
OVERHEAD_BYTES = 420
FLAGS = 3  # bytes of is_first, is_last and is_terminal in the replay of dreamerv3

# Measured on Linux with Ray 2.60, torch 2.13 and crowd_nav; another environment may need more.
MAIN_BYTES = 500 * 2**20  # main process without network and replay
RAY_BYTES = 300 * 2**20  # processes of a local Ray instance
RUNNER_BYTES = 350 * 2**20  # unshared memory of an env runner without its network
MOMENTS = 3  # in a checkpoint: weights and two moments of the optimizer
WEIGHT_COPIES = 4  # in memory: weights, gradients and two moments of the optimizer
ACTIVATIONS = 5  # floats of an update on a CPU per B * T * (H + 1) * (D + S * C + units)
# trained and slow weights of RLlib's networks: a fixed number, and a number per float of the observation
RLLIB_WEIGHTS = {
    "nano": (20e3, 33), "micro": (63e3, 65), "mini": (282e3, 129), "XXS": (1.68e6, 257), "XS": (3.88e6, 513),
    "S": (11.96e6, 1025), "M": (25.07e6, 1281), "L": (54.73e6, 1537), "XL": (146.66e6, 2049),
}  # fmt: skip


@dataclass(frozen=True)
class Forecast:
    """Largest sizes of a run.

    A replay on a GPU is allocated at its capacity; one on the host grows with the run.
    """

    bytes_per_step: int  # of the replay
    replay_steps: int
    replay_bytes: int
    process_bytes: int  # host memory of all processes of the run, without the replay
    checkpoint_bytes: int  # of one checkpoint, replay included
    checkpoints: int  # on the disk at the same time


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Return the largest sizes of the run."""
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
        _process_bytes(experiment, contract),
        checkpoint,
        experiment.run.keep_checkpoints + 2,  # the best one, and the one being written
    )


def host_bytes(experiment: Experiment, expected: Forecast) -> int:
    """Return the largest host memory of the run, bytes."""
    on_host = expected.replay_bytes if getattr(experiment.algo, "replay_device", "cpu") != "cuda" else 0
    return expected.process_bytes + on_host


def _bytes_per_step(experiment: Experiment, contract: ObservationContract) -> int:
    published = experiment.algo.name == "dreamerv3"
    return _published_bytes_per_step(experiment, contract) if published else _stock_bytes_per_step(contract)


def _stock_bytes_per_step(contract: ObservationContract) -> int:
    action = contract.action.size if contract.action.kind == "box" else 1
    return FLOAT32 * (contract.size + action) + OVERHEAD_BYTES


def _published_bytes_per_step(experiment: Experiment, contract: ObservationContract) -> int:
    """Return the size of observation, action and reward in float32, deter in float16, and one byte a categorical.

    A Discrete action is one-hot.
    """
    network: NetworkSize = experiment.algo.network
    return FLOAT32 * (contract.size + contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def _process_bytes(experiment: Experiment, contract: ObservationContract) -> int:
    """Return the memory of the main process and, with a local Ray, of Ray, the env runners and the learners."""
    hardware, (weights, acting) = experiment.hardware, _weight_bytes(experiment, contract)
    total = MAIN_BYTES + acting
    is_local = hardware.ray_address is None
    if is_local:
        total += RAY_BYTES + hardware.num_env_runners * (RUNNER_BYTES + acting) + hardware.num_learners * MAIN_BYTES
    if not hardware.num_gpus_per_learner and (is_local or not hardware.num_learners):
        total += max(1, hardware.num_learners) * (WEIGHT_COPIES * weights + _update_bytes(experiment))
    return total


def _weight_bytes(experiment: Experiment, contract: ObservationContract) -> tuple[int, int]:
    """Return the bytes of the complete network's weights, and of those used for acting."""
    parts = _parts(experiment, contract)
    if parts:
        return FLOAT32 * sum(parts.values()), FLOAT32 * sum(parts[name] for name in ("encoder", "rssm", "actor"))
    fixed, per_float = RLLIB_WEIGHTS[experiment.algo.model_size]
    weights = FLOAT32 * (int(fixed) + per_float * contract.size)
    return weights, weights


def _update_bytes(experiment: Experiment) -> int:
    """Return the bytes of an update's activations; 0 for RLlib's learner, where they are unknown."""
    algo, network = experiment.algo, getattr(experiment.algo, "network", None)
    if network is None:
        return 0
    states = algo.batch_size_B * algo.batch_length_T * (algo.horizon_H + 1)
    return int(ACTIVATIONS * FLOAT32 * states * (network.feature + network.units))


def place_replay(experiment: Experiment, contract: ObservationContract, machine: Machine) -> Experiment:
    """Return the experiment with the replay's capacity in steps, and its device.

    Both depend on the observation's size. An "auto" replay_device becomes cuda if the full replay needs less than half
    of the GPU's memory, which the network and its updates need too; else, or if that memory is unknown, cpu.

    Raises:
        UserError: The capacity in bytes holds fewer steps than one batch.
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
    amount = experiment.algo.replay_capacity
    if not isinstance(amount, str):
        return experiment
    steps = (parse_bytes(amount) or 0) // _bytes_per_step(experiment, contract)
    counted = replace(experiment, algo=replace(experiment.algo, replay_capacity=steps))
    try:
        find_spec("algorithms", experiment.algo.name).check(counted)
    except UserError as error:
        raise UserError(f"algo.replay_capacity={amount!r} holds {steps:,} steps: {error}") from error
    return counted


def replay_room(experiment: Experiment, machine: Machine) -> int | None:
    """Return the total memory of the GPU or the free memory of the host, where the replay is; None if unknown."""
    if _is_learner_remote(experiment):
        return None
    on_gpu = getattr(experiment.algo, "replay_device", "cpu") == "cuda"
    return (machine.gpu_memory_bytes or None) if on_gpu else machine.memory_available_bytes


def _is_learner_remote(experiment: Experiment) -> bool:
    """Return whether the learner, and with it the replay, is on another machine of a cluster."""
    hardware = experiment.hardware
    return experiment.algo.name == "dreamerv3" and hardware.num_learners > 0 and hardware.ray_address is not None


def check_memory(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Refuse a run whose processes or replay need more memory than there is.

    Raises:
        UserError: The message has the sizes, and how many steps fit.
    """
    expected, room = forecast(experiment, contract), replay_room(experiment, machine)
    on_gpu = getattr(experiment.algo, "replay_device", "cpu") == "cuda"
    if not _is_learner_remote(experiment):
        _check_processes(experiment, expected, machine)
    if room is not None and not on_gpu:
        room -= expected.process_bytes
    if room is None or expected.replay_bytes <= room:
        return
    steps = "steps that a GPU allocates at once" if on_gpu else "steps of this run"
    available = f"the GPU has {gibibytes(room)}" if on_gpu else f"{gibibytes(room)} are left ({_free_memory(machine)})"
    alternative = ", or use algo.replay_device=cpu" if on_gpu else ""
    raise UserError(
        f"algo.replay_capacity={experiment.algo.replay_capacity}: with {contract.size:,} floats a step, the replay "
        f"needs {expected.replay_bytes // 10**9} GB ({gibibytes(expected.replay_bytes)}) for the "
        f"{expected.replay_steps:,} {steps}, and {available}; at most {room // expected.bytes_per_step:,} steps "
        f"fit{alternative}."
    )


def _check_processes(experiment: Experiment, expected: Forecast, machine: Machine) -> None:
    if expected.process_bytes > machine.memory_available_bytes:
        raise UserError(
            f"hardware.num_env_runners={experiment.hardware.num_env_runners}: main process, env runners and learner "
            f"need {gibibytes(expected.process_bytes)} without the replay, and {_free_memory(machine)}; use fewer env "
            "runners, or a smaller algo.model_size or batch."
        )


def _free_memory(machine: Machine) -> str:
    """Return the free memory and its source as text."""
    source = machine.sources["memory_available_bytes"]
    return f"this machine has {gibibytes(machine.memory_available_bytes)} free according to {source}"


def parameters(experiment: Experiment, contract: ObservationContract) -> int | None:
    """Return the number of trained parameters of the network (algorithms/dreamerv3/agent.py); None for RLlib's."""
    parts = _parts(experiment, contract)
    return sum(parts.values()) if parts else None


def _parts(experiment: Experiment, contract: ObservationContract) -> dict[str, int]:
    """Return the number of parameters by part of the agent; empty for RLlib's network."""
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
    """Return the number of parameters of layers with bias and norm, and of an output layer with bias if given."""
    total = 0
    for _ in range(layers):
        total += (inputs + 2) * units
        inputs = units
    return total if outputs is None else total + (inputs + 1) * outputs
