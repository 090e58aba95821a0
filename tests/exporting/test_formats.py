"""Exported files act as the policy that they were made from, for one robot and several, and describe themselves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamer_exp import load_policy
from dreamer_exp.algorithms.dreamerv3.sizes import BINS
from dreamer_exp.checkpoints.policy_file import save_policy
from dreamer_exp.exporting.check import Agreement, compare
from dreamer_exp.exporting.formats import FORMATS, Arrays
from dreamer_exp.exporting.graph import PolicyGraph, median_of_neighbours
from dreamer_exp.exporting.metadata import EXTRA_FILE, KEY, metadata
from dreamer_exp.exporting.precision import reduce_weights, round_weights
from dreamer_exp.scaling import median_of_neighbours as expected_median
from tests.experiments import nano, nano_gym
from tests.policy.saved import ALGORITHMS, random_network, save_random

EXPERIMENTS = {
    "metric": lambda algorithm: nano(f"algo={algorithm}", "obs_contract=drive_state_rays_metric"),
    "discrete": lambda algorithm: nano_gym("CartPole-v1", f"algo={algorithm}"),
    "box": lambda algorithm: nano_gym("Pendulum-v1", f"algo={algorithm}"),
}


def saved(folder: Path, algorithm: str, name: str) -> Path:
    save_random(folder, algorithm, experiment=EXPERIMENTS[name](algorithm))
    return folder


def exported(source: Path, form: str) -> Path:
    """Write the file of a format next to the policy."""
    policy = load_policy(source)
    graph = PolicyGraph(policy).eval()
    FORMATS[form].write(graph, metadata(policy, graph), source / FORMATS[form].file)
    return source / FORMATS[form].file


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_torchscript_acts_as_the_policy_for_one_robot_and_several(tmp_path: Path, algorithm: str, name: str) -> None:
    run = FORMATS["torchscript"].open(exported(saved(tmp_path, algorithm, name), "torchscript"))

    for found in (compare(load_policy(tmp_path), run, 60), compare(load_policy(tmp_path, robots=5), run, 10)):
        assert found.is_equal
        if name != "metric":  # numpy and torch round the logarithms of the scaling differently
            assert (found.largest, found.redrawn) == (0.0, 0)  # bit for bit


def test_a_full_disk_is_an_error_of_the_file(tmp_path: Path) -> None:
    graph = PolicyGraph(load_policy(saved(tmp_path, "dreamerv3", "box"))).eval()
    with pytest.raises(OSError, match="No space left on device"):
        FORMATS["torchscript"].write(graph, {}, Path("/dev/full"))


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [("dreamerv3", "metric"), pytest.param("dreamerv3_rllib", "discrete", marks=pytest.mark.slow)],
)
def test_onnx_acts_as_the_policy_for_one_robot_and_several(tmp_path: Path, algorithm: str, name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = exported(saved(tmp_path, algorithm, name), "onnx")
    run = FORMATS["onnx"].open(path)

    assert compare(load_policy(tmp_path), run, 200).is_equal
    assert compare(load_policy(tmp_path, robots=5), run, 20).is_equal
    about = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[KEY])
    assert about["contract_hash"] == load_policy(tmp_path).info.contract_hash


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a policy and its ONNX file, which takes seconds to write; no test may change it."""
    pytest.importorskip("onnxscript")
    return exported(saved(tmp_path_factory.mktemp("policy"), "dreamerv3", "box"), "onnx").parent


@pytest.fixture
def onnx_file(exported_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the ONNX file, next to a copy of the policy in the test's own folder."""
    shutil.copytree(exported_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / FORMATS["onnx"].file


def test_weights_in_float16_are_those_of_the_rounded_policy_in_half_the_bytes(onnx_file: Path, tmp_path: Path) -> None:
    path, full = onnx_file, onnx_file.stat().st_size
    reduce_weights(path, "float16")
    policy = load_policy(tmp_path)
    round_weights(policy)

    assert compare(policy, FORMATS["onnx"].open(path), 50).is_equal
    assert not compare(load_policy(tmp_path), FORMATS["onnx"].open(path), 50).is_equal
    assert path.stat().st_size < 0.8 * full


def test_products_in_int8_act_about_as_the_policy_and_keep_the_metadata(onnx_file: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path, full = onnx_file, onnx_file.stat().st_size
    reduce_weights(path, "int8")

    assert 1e-5 < compare(load_policy(tmp_path), FORMATS["onnx"].open(path), 50).largest < 0.1
    assert KEY in onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert path.stat().st_size < full


def test_a_file_whose_numbers_are_not_finite_is_not_equal(tmp_path: Path) -> None:
    saved(tmp_path, "dreamerv3", "box")
    run = FORMATS["torchscript"].open(exported(tmp_path, "torchscript"))

    def broken(inputs: Arrays) -> Arrays:
        return [np.full_like(part, np.nan) for part in run(inputs)]

    assert not compare(load_policy(tmp_path), broken, 20).is_equal


def test_a_file_of_another_policy_is_not_equal(tmp_path: Path) -> None:
    saved(tmp_path, "dreamerv3", "box")
    run = FORMATS["torchscript"].open(exported(tmp_path, "torchscript"))
    policy = load_policy(tmp_path)
    with torch.no_grad():
        for parameter in policy.network.parameters():
            parameter.add_(0.01)

    assert not compare(policy, run, 20).is_equal


def test_values_of_a_critic_that_is_not_sure_have_few_digits_in_both(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    saved(tmp_path, "dreamerv3", "box")
    weights = load_file(tmp_path / "policy.safetensors")
    bias = next(name for name in weights if name.startswith("agent.critic.") and weights[name].shape == (BINS,))
    weights[bias].zero_()
    save_file(weights, tmp_path / "policy.safetensors")

    assert compare(load_policy(tmp_path), FORMATS["onnx"].open(exported(tmp_path, "onnx")), 100).is_equal


def test_a_file_with_other_values_is_not_equal(tmp_path: Path) -> None:
    saved(tmp_path, "dreamerv3", "box")
    run = FORMATS["torchscript"].open(exported(tmp_path, "torchscript"))

    def biased(inputs: Arrays) -> Arrays:
        *others, value = run(inputs)
        return [*others, value + 1e-2]

    agreement = compare(load_policy(tmp_path), biased, 20)
    assert agreement.largest == 0.0
    assert not agreement.is_equal


def test_the_metadata_has_what_a_client_needs(tmp_path: Path) -> None:
    path = exported(saved(tmp_path, "dreamerv3", "metric"), "torchscript")
    files = {EXTRA_FILE: ""}
    torch.jit.load(str(path), _extra_files=files)
    about = json.loads(files[EXTRA_FILE])

    assert [(entry["key"], entry["unit"]) for entry in about["observation"]["entries"]] == [
        ("drive_state", ["normalised", 1.0]),
        ("rays", ["m", 10.0]),
    ]
    assert (about["period_s"], about["action_repeat"], about["action"]["low"]) == (0.1, 1, [-1.0, -1.0])
    assert about["noise"] == {"uniform": 8, "normal": 2}


@pytest.mark.parametrize(("kind", "low", "high"), [("discrete", [0], [4]), ("box", [-1.0] * 5, [1.0] * 5)])
def test_actions_of_a_policy_without_a_contract_have_bounds(
    tmp_path: Path, kind: str, low: list[float], high: list[float]
) -> None:
    save_policy(random_network("dreamerv3", 7, {"kind": kind, "size": 5}), "dreamerv3", tmp_path, {})
    policy = load_policy(tmp_path)
    action = metadata(policy, PolicyGraph(policy))["action"]

    assert (action["low"], action["high"]) == (low, high)


def test_the_median_in_torch_is_that_in_numpy() -> None:
    rays = np.random.default_rng(0).random((4, 9), np.float32)

    assert np.array_equal(median_of_neighbours(torch.from_numpy(rays)), expected_median(rays))


def test_noise_of_zero_is_the_most_likely_action_and_other_noise_is_drawn(tmp_path: Path) -> None:
    graph = PolicyGraph(load_policy(saved(tmp_path, "dreamerv3", "box"))).eval()
    observation, *state, noise = graph.example(1)
    drawn = noise.clone()
    drawn[:, -1] = 1.0
    most_likely, _ = graph.network.step(observation, tuple(state), noise[:, : graph.network.stoch], None)
    action = graph(observation, *state, noise)[0]

    assert torch.equal(action, 2.0 * most_likely)  # Pendulum's torque
    assert not torch.equal(action, graph(observation, *state, drawn)[0])


@pytest.mark.parametrize(("own", "equal"), [(0.0, False), (8e-6, True), (1e-6, False)])
def test_a_file_may_differ_by_what_float32_costs_the_policy(own: float, equal: bool) -> None:
    assert Agreement(steps=1000, largest=2e-5, redrawn=0, own=own).is_equal is equal


def test_float32_costs_the_policy_some_digits(tmp_path: Path) -> None:
    run = FORMATS["torchscript"].open(exported(saved(tmp_path, "dreamerv3", "box"), "torchscript"))

    assert 1e-9 < compare(load_policy(tmp_path), run, 20).own < 1e-5
