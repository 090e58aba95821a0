"""The reference client without torch acts as the policy, and drives an episode of crowd_nav."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamer_exp import load_policy
from dreamer_exp.exporting.formats import FORMATS
from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.exporting.metadata import metadata
from tests.paths import CHECKOUT
from tests.policy.saved import pack_acting_only, save_random

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

WITHOUT_TORCH = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.modules["torch"] = None  # importing it fails
runpy.run_path(sys.argv[0], run_name="__main__")
"""


CLIENT = str(CHECKOUT / "examples" / "onnx_client.py")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("policy"))


def exported(folder: Path, *overrides: str, acting_only: bool = False) -> Path:
    save_random(folder, "dreamerv3", *overrides)
    if acting_only:
        pack_acting_only(folder)
    policy = load_policy(folder)
    graph = PolicyGraph(policy).eval()
    FORMATS["onnx"].write(graph, metadata(policy, graph), folder / "policy.onnx")
    return folder / "policy.onnx"


def client_of(file: Path) -> Any:
    return runpy.run_path(CLIENT)["OnnxPolicy"](str(file), seed=4)


def observation(rng: np.random.Generator) -> dict[str, Any]:
    return {"drive_state": rng.random((3, 5)) / 2, "rays": rng.random((3, 272))}


def test_the_client_acts_as_the_policy_with_the_same_noise(file: Path) -> None:
    client, policy = client_of(file), load_policy(file.parent)
    assert policy.contract is not None
    rng, noise, state = np.random.default_rng(0), np.random.default_rng(4), policy.state.tensors
    for _ in range(10):
        seen = observation(rng)
        vectors = torch.from_numpy(policy.contract.vectors(seen, None))
        uniform = torch.from_numpy(noise.random(policy.network.stoch).astype(np.float32))[None]
        action, state = policy.network.step(vectors, state, uniform, None)

        assert np.allclose(client.act(seen), policy.contract.to_robot(action.numpy())[0], atol=1e-5)
        assert client.value == pytest.approx(float(policy.network.value(state)[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"drive_state": np.zeros((3, 5))}, "rays: missing from the observation, which has: drive_state"),
        ({"drive_state": np.zeros((3, 5)), "rays": np.full((3, 272), np.nan)}, "rays: shape .* finite numbers"),
    ],
)
def test_a_refused_observation_leaves_the_client_as_it_was(file: Path, change: dict[str, Any], line: str) -> None:
    client, untouched = client_of(file), client_of(file)
    seen = observation(np.random.default_rng(0))
    with pytest.raises(ValueError, match=line):
        client.act(change)

    assert np.array_equal(client.act(seen), untouched.act(seen))


def test_a_file_without_a_critic_acts(tmp_path: Path) -> None:
    client = client_of(exported(tmp_path, acting_only=True))

    assert client.act(observation(np.random.default_rng(0))).shape == (2,)
    assert client.value is None


def test_an_episode_is_driven_without_torch(file: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, CLIENT, str(file)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert "steps, return" in done.stdout


@pytest.mark.slow
def test_an_action_is_held_as_in_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(CLIENT)
    acted, act = [], names["OnnxPolicy"].act
    names["OnnxPolicy"].act = lambda client, seen: acted.append(act(client, seen)) or acted[-1]
    names["main"](str(exported(tmp_path, "env.action_repeat=2")))

    steps = int(capsys.readouterr().out.split(" steps")[0].split()[-1])
    assert len(acted) == (steps + 1) // 2


def test_without_a_file_the_usage_is_printed() -> None:
    done = subprocess.run([sys.executable, CLIENT], cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert done.stderr == "usage: python examples/onnx_client.py POLICY.onnx [SEED]\n"
