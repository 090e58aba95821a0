"""The forecast of a run: memory, the replay's device, parameters, and the tables of a dry run."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import WEIGHTS
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import contract_of
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.dry_run import plan_table, replay_text, warnings
from dreamer_exp.planning.forecast import (
    RUNNER_BYTES,
    check_memory,
    forecast,
    replay_room,
    settle,
)
from tests.experiments import experiment, machine, nano

GIB = 2**30
BOX = ("env=crowd_nav",)
DISCRETE = ("env=gym", "env.id=CartPole-v1", "obs_contract=vector")
each_action = pytest.mark.parametrize("words", [BOX, DISCRETE], ids=["Box", "Discrete"])


def with_gpu(gpu_gibibytes: float, memory_gibibytes: int = 16) -> Machine:
    """Return a machine with one GPU; 0 GiB is an unknown memory."""
    return replace(
        machine(cpus=8, gpus=1, memory_bytes=memory_gibibytes * GIB), gpu_memory_bytes=int(gpu_gibibytes * GIB)
    )


def rllib(on: Machine | None = None) -> Experiment:
    return experiment("algo=dreamerv3_rllib", on=on)


def contract(of: Experiment) -> ObservationContract:
    return contract_of(of.env, of.obs_contract)


GPU = with_gpu(80)
ON_GPU = experiment(on=GPU)  # its replay_device is "auto"
CONTRACT = contract(ON_GPU)
STEP = forecast(ON_GPU, CONTRACT).memory.bytes_per_step


def holding(capacity: int, device: str = "auto") -> Experiment:
    return replace(ON_GPU, algo=replace(ON_GPU.algo, replay_capacity=capacity, replay_device=device))


# Bytes and parameters


def replay_bytes(contract: ObservationContract, network: NetworkSize) -> int:
    actions = contract.action.size
    replay = LatentReplay(
        capacity=2, num_streams=1, observation_size=contract.size, actions=actions, size=network, seed=1
    )
    return replay.bytes_per_step


def trained_parameters(contract: ObservationContract, network: NetworkSize) -> int:
    agent = Agent(network, contract.size, ActionKind(contract.action.size, contract.action.kind == "discrete"))
    return sum(each.numel() for each in agent.parameters() if each.requires_grad)


@each_action
@pytest.mark.parametrize("size", ["nano", "XS", "1M"])
@pytest.mark.parametrize(
    ("forecast_of", "measured"),
    [
        (lambda *known: forecast(*known).memory.bytes_per_step, replay_bytes),
        (lambda *known: forecast(*known).memory.parameters, trained_parameters),
    ],
    ids=["bytes a step of the replay", "parameters of the network"],
)
def test_the_forecast_equals_what_dreamerv3_builds(
    words: tuple[str, ...],
    size: str,
    forecast_of: Callable[[Experiment, ObservationContract], int],
    measured: Callable[[ObservationContract, NetworkSize], int],
) -> None:
    asked = experiment(*words, f"algo.model_size={size}")
    seen, network = contract(asked), asked.algo.network
    assert network is not None

    assert forecast_of(asked, seen) == measured(seen, network)


def test_the_parameters_of_rllibs_network_are_not_forecast() -> None:
    assert forecast(rllib(), CONTRACT).memory.parameters is None


@pytest.mark.parametrize("size", [name for name in SIZES if name[:-1].isdigit()])
def test_a_published_size_has_about_the_parameters_in_its_name(size: str) -> None:
    asked = experiment(f"algo.model_size={size}")
    count = forecast(asked, contract(asked)).memory.parameters

    assert count is not None
    assert 0.7 < count / 1e6 / int(size[:-1]) < 1.0  # the name counts a network of images


def test_a_replay_grows_with_the_run_on_the_host_and_is_allocated_at_once_on_a_gpu() -> None:
    on_host, on_gpu = (forecast(holding(10**6, device), CONTRACT) for device in ("cpu", "cuda"))

    assert on_host.replay_steps == ON_GPU.run.train_iterations * ON_GPU.hardware.env_steps_per_iteration < 10**6
    assert (on_gpu.replay_steps, on_gpu.replay_bytes) == (10**6, 10**6 * STEP)


# The replay's device


@pytest.mark.parametrize(
    ("steps_in_gpu", "capacity", "device"),
    [(2_000_001, 10**6, "cuda"), (2_000_000, 10**6, "cpu"), (1_000_000, 10**6, "cpu"), (100_000, 10_000, "cuda")],
)
def test_auto_is_the_gpu_if_the_full_replay_needs_less_than_half_of_it(
    steps_in_gpu: int, capacity: int, device: str
) -> None:
    on = replace(GPU, gpu_memory_bytes=steps_in_gpu * STEP)

    assert settle(holding(capacity), CONTRACT, on).algo.replay_device == device


def test_a_short_run_does_not_make_a_large_replay_fit_a_gpu() -> None:
    short = replace(holding(10**9), run=replace(ON_GPU.run, train_iterations=1))

    assert settle(short, CONTRACT, GPU).algo.replay_device == "cpu"


def test_auto_is_the_host_if_the_gpus_memory_is_unknown() -> None:
    assert settle(ON_GPU, CONTRACT, with_gpu(0)).algo.replay_device == "cpu"


def test_auto_is_the_host_if_the_learner_is_on_another_machine() -> None:
    words = ("hardware=ray_cluster", "hardware.num_learners=1", "hardware.num_gpus_per_learner=1")
    asked = experiment(*words, on=GPU)

    assert asked.algo.replay_device == "auto"
    assert settle(asked, CONTRACT, GPU).algo.replay_device == "cpu"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("gpu_gibibytes", [0, 1, 80])
def test_a_given_device_is_kept(device: str, gpu_gibibytes: int) -> None:
    asked = holding(10**6, device)

    assert settle(asked, CONTRACT, with_gpu(gpu_gibibytes)) == asked


def test_rllibs_replay_is_on_the_host() -> None:
    asked = rllib(on=GPU)

    assert settle(asked, CONTRACT, GPU) == asked
    assert replay_room(asked, forecast(asked, CONTRACT), GPU) == 16 * GIB


@given(st.integers(512, 10**9), st.integers(0, 2 * 10**11))
def test_the_chosen_device_always_has_room_for_the_replay(capacity: int, gpu_bytes: int) -> None:
    placed = settle(holding(capacity), CONTRACT, replace(GPU, gpu_memory_bytes=gpu_bytes))

    assert placed.algo.replay_device in ("cpu", "cuda")
    assert placed.algo.replay_device == "cpu" or forecast(placed, CONTRACT).replay_bytes < gpu_bytes
    assert replace(placed, algo=replace(placed.algo, replay_device="auto")) == holding(capacity)


# Too large


def test_a_replay_larger_than_its_gpu_is_refused_in_one_line_with_the_steps_that_fit() -> None:
    on = replace(GPU, gpu_memory_bytes=999_999 * STEP)

    with pytest.raises(UserError) as refused:
        check_memory(holding(10**6, "cuda"), CONTRACT, on)
    line = str(refused.value)
    assert line.startswith(
        "algo.replay_capacity=1000000: with 831 floats a step, the replay needs 4 GB (4.1 GiB) for the 1,000,000 steps"
    )
    assert line.endswith("; at most 999,999 steps fit, or use algo.replay_device=cpu.")
    assert "the GPU has 4.1 GiB" in line
    assert "\n" not in line


@pytest.mark.parametrize("gpu_bytes", [10**6 * STEP, 0], ids=["just fits", "unknown"])
def test_a_replay_that_fits_or_may_fit_its_gpu_is_accepted(gpu_bytes: int) -> None:
    check_memory(holding(10**6, "cuda"), CONTRACT, replace(GPU, gpu_memory_bytes=gpu_bytes))


def test_a_replay_on_the_gpu_needs_no_host_memory() -> None:
    asked = holding(10**6, "cuda")
    processes = forecast(asked, CONTRACT).process_bytes
    check_memory(asked, CONTRACT, replace(GPU, memory_available_bytes=processes))
    with pytest.raises(UserError, match=r"^hardware\.num_env_runners=4: .* without the replay, .*fewer env runners"):
        check_memory(asked, CONTRACT, replace(GPU, memory_available_bytes=processes - 1))


def test_a_replay_on_the_host_has_the_memory_that_the_processes_leave() -> None:
    asked = replace(holding(10**6, "cpu"), run=replace(ON_GPU.run, train_iterations=10**6))
    processes = forecast(asked, CONTRACT).process_bytes
    check_memory(asked, CONTRACT, replace(GPU, memory_available_bytes=processes + 10**6 * STEP))
    with pytest.raises(UserError) as refused:
        check_memory(asked, CONTRACT, replace(GPU, memory_available_bytes=processes + 10**6 * STEP - 1))
    line = str(refused.value)
    assert line.startswith(
        "algo.replay_capacity=1000000: with 831 floats a step, the replay needs 4 GB (4.1 GiB) for the 1,000,000 steps"
    )
    assert line.endswith(
        f"4.1 GiB are left (this machine has {gibibytes(processes + 10**6 * STEP)} free according to test); "
        "at most 999,999 steps fit."
    )


def test_each_env_runner_needs_a_process_and_an_acting_network() -> None:
    one, two = (forecast(experiment(f"hardware.num_env_runners={n}", on=GPU), CONTRACT).process_bytes for n in (1, 2))
    assert RUNNER_BYTES < two - one < RUNNER_BYTES + 4 * (forecast(ON_GPU, CONTRACT).memory.parameters or 0)


def test_a_learner_on_the_cpu_needs_host_memory() -> None:
    on_cpu, on_gpu = (
        experiment("hardware.num_gpus_per_learner=0", on=GPU),
        experiment("hardware.num_gpus_per_learner=1", on=GPU),
    )
    network = 4 * 4 * (forecast(ON_GPU, CONTRACT).memory.parameters or 0)
    assert forecast(on_cpu, CONTRACT).process_bytes - forecast(on_gpu, CONTRACT).process_bytes > network


@pytest.mark.parametrize("size", ["nano", "XXS", "XS"])
@pytest.mark.parametrize("observed", [4, 831])
def test_the_weights_of_rllibs_networks_are_forecast_within_5_percent(size: str, observed: int) -> None:
    network = {"model_size": size, "batch_length_T": 32}
    description = {"algorithm": "dreamerv3_rllib", "network": network, "observation_size": observed, "symlog_obs": True}
    built = build({**description, "action": {"kind": "box", "size": 2}})
    fixed, per_float = WEIGHTS[size]
    assert fixed + per_float * observed == pytest.approx(sum(each.numel() for each in built.parameters()), rel=0.05)


# A capacity in bytes


@pytest.mark.parametrize(
    "words", [("algo=dreamerv3",), ("algo=dreamerv3_rllib",)], ids=["dreamerv3", "dreamerv3_rllib"]
)
def test_a_capacity_in_bytes_becomes_steps(words: tuple[str, ...]) -> None:
    asked = experiment(*words, "algo.replay_capacity=1 GiB")
    placed = settle(asked, CONTRACT, machine())
    step = forecast(placed, CONTRACT).memory.bytes_per_step
    assert placed.algo.replay_capacity == GIB // step
    assert "GiB" not in placed.to_yaml()


def test_a_capacity_in_bytes_below_one_batch_is_refused_with_its_steps() -> None:
    with pytest.raises(UserError, match=r"^algo\.replay_capacity='1 MB' holds 227 steps: .* at least .* = 512"):
        settle(experiment("algo.replay_capacity=1 MB"), CONTRACT, machine())


def test_the_device_of_a_capacity_in_bytes_depends_on_the_bytes() -> None:
    asked = experiment("algo.replay_capacity=30 GiB", on=GPU)
    assert settle(asked, CONTRACT, GPU).algo.replay_device == "cuda"
    assert settle(asked, CONTRACT, with_gpu(59)).algo.replay_device == "cpu"


def test_a_replay_on_the_host_needs_no_gpu_memory() -> None:
    check_memory(holding(10**6, "cpu"), CONTRACT, replace(GPU, gpu_memory_bytes=1))


def test_a_replay_on_another_machine_is_not_compared_with_this_ones_memory() -> None:
    words = ("hardware=ray_cluster", "hardware.num_learners=1", "hardware.num_gpus_per_learner=0")
    check_memory(experiment(*words, on=GPU), CONTRACT, replace(GPU, memory_available_bytes=1))


def test_a_replay_that_nearly_fills_its_gpu_gives_a_warning() -> None:
    asked, on = holding(10**6, "cuda"), replace(GPU, gpu_memory_bytes=int(1.1e6) * STEP)
    (line,) = warnings(asked, forecast(asked, CONTRACT), on)

    assert line.startswith("algo.replay_capacity=1000000: the replay will need 4.1 GiB, and the GPU has ")
    assert line.endswith("; 550,000 steps need half of that.")


def test_checkpoints_larger_than_the_disk_give_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = nano("run.train_iterations=100000", "run.keep_checkpoints=2")
    expected = forecast(asked, CONTRACT)
    monkeypatch.setattr("dreamer_exp.planning.dry_run.disk_free", lambda: 4 * expected.checkpoint_bytes)
    assert warnings(asked, expected, machine()) == []
    monkeypatch.setattr("dreamer_exp.planning.dry_run.disk_free", lambda: 4 * expected.checkpoint_bytes - 1)
    (line,) = warnings(asked, expected, machine())
    assert line.startswith("run.keep_checkpoints=2: 4 checkpoints of up to ")


@pytest.mark.parametrize(
    ("contract", "symlog", "is_warned"),
    [("_metric", "true", True), ("_metric", "false", False), ("_latest", "true", False)],
)
def test_observations_squashed_twice_give_a_warning(contract: str, symlog: str, is_warned: bool) -> None:
    asked = nano(f"obs_contract=drive_state_rays{contract}", f"algo.symlog_obs={symlog}")
    found = warnings(asked, forecast(asked, CONTRACT), machine())

    assert [line for line in found if "both squash the observation" in line] == (found if is_warned else [])
    assert bool(found) == is_warned


def test_a_replay_with_enough_room_gives_no_warning() -> None:
    asked = holding(10**6, "cuda")

    assert warnings(asked, forecast(asked, CONTRACT), GPU) == []


# The tables of a dry run


def plan(asked: Experiment, on: Machine) -> dict[str, str]:
    """Return the rows of the plan, each on one line."""
    console = Console(width=400, record=True, force_terminal=False)
    console.print(plan_table(asked, contract(asked), on))
    lines = [line.strip("│ \n").split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    return {name.strip(): text.strip() for name, text in lines}


def test_the_plan_has_backend_precision_and_parameters_of_dreamerv3() -> None:
    rows = plan(settle(ON_GPU, CONTRACT, GPU), GPU)

    assert rows["learner"] == "1 GPU(s), dreamerv3 (backend fused, precision tf32), size XS (4.3M parameters)"


def test_the_plan_gives_the_reason_for_another_backend() -> None:
    asked = settle(experiment("algo.batch_size_B=8", on=GPU), CONTRACT, GPU)

    why = "algo.batch_size_B=8, but fused supports a multiple of 16 up to 64"
    assert plan(asked, GPU)["learner"].endswith(
        f"(backend cuda_graph, precision tf32), size XS (4.3M parameters); not fused: {why}"
    )


def test_the_plan_of_rllibs_learner_has_no_backend() -> None:
    assert plan(rllib(), machine())["learner"] == "CPU, dreamerv3_rllib, size XS"


@pytest.mark.parametrize(
    ("device", "start", "end"),
    [
        ("cuda", "on the GPU; 4,395 bytes a step; 4.1 GiB from the start", "of its 80.0 GiB"),
        ("cpu", "on the host; 4,395 bytes a step; ", "4.1 GiB at its capacity of 1,000,000 steps, of 16.0 GiB free"),
    ],
)
def test_the_plan_has_device_and_size_of_the_replay(device: str, start: str, end: str) -> None:
    row = plan(holding(10**6, device), GPU)["replay"]

    assert row.startswith(start)
    assert row.endswith(end)


@pytest.mark.parametrize(
    ("word", "text"), [("always", "in parallel with the learner"), ("never", "alternating with the learner")]
)
def test_the_plan_has_whether_sampling_overlaps(word: str, text: str) -> None:
    assert plan(experiment(f"hardware.overlap_sampling={word}"), machine())["sampling"].endswith(text)


@pytest.mark.parametrize(
    ("gpu", "text"), [(with_gpu(80), "1 GPUs, 80.0 GiB on the first, "), (with_gpu(0), "1 GPUs, 16.0")]
)
def test_the_plan_has_the_gpus_memory_if_it_is_known(gpu: Machine, text: str) -> None:
    assert text in plan(experiment(), gpu)["machine"]


def test_an_algorithm_without_a_replay_needs_no_memory_for_it() -> None:
    asked = nano()
    expected = replace(forecast(asked, CONTRACT), memory=MemoryModel(weight_bytes=8, acting_bytes=4))
    assert replay_text(asked, expected, machine()) == "none"
