"""`load_policy`: what it takes, what it refuses in one line, and how little it imports."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamer_exp import load_policy
from dreamer_exp.config.errors import UserError
from dreamer_exp.policy.acting import PolicyInfo
from tests.experiments import nano_gym
from tests.paths import CHECKOUT
from tests.policy.saved import changed, pack_acting_only, save_random

RELEASE_0_1 = CHECKOUT / "tests" / "data" / "release_0_1" / "dreamerv3_rllib"

# stands in for an environment with torch, numpy and safetensors alone; cython is numpy's
ALONE = """
import sys
ALLOWED = {"dreamer_exp", "torch", "numpy", "safetensors", *%(of_torch)s, *sys.stdlib_module_names}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import time
import dreamer_exp
assert "torch" not in sys.modules
began = time.perf_counter()
import numpy as np
policy = dreamer_exp.load_policy(sys.argv[1])
policy.act(np.zeros(policy.observation_size))
print(time.perf_counter() - began)
"""
OF_TORCH = (
    "torchgen", "functorch", "typing_extensions", "filelock", "sympy", "mpmath", "networkx", "jinja2", "markupsafe",
    "fsspec", "packaging", "_cython_3_2_4", "cython_runtime",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_random(tmp_path)
    return tmp_path


def test_nothing_is_imported_but_torch_numpy_and_safetensors(folder: Path) -> None:
    command = [sys.executable, "-c", ALONE % {"of_torch": OF_TORCH}, str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr


def test_a_run_of_release_0_1_acts_with_the_contract_of_its_provenance(tmp_path: Path) -> None:
    policy = load_policy(shutil.copytree(RELEASE_0_1, tmp_path / "run"))

    assert policy.contract is not None
    assert policy.act(np.zeros(4)) in (0, 1)


def test_a_checkpoint_without_its_run_takes_vectors(tmp_path: Path) -> None:
    policy = load_policy(shutil.copytree(RELEASE_0_1 / "checkpoints" / "000000194", tmp_path / "policy"))

    assert policy.contract is None
    assert policy.act(np.zeros(4)) in (0, 1)


def test_the_file_has_what_a_robot_needs(folder: Path) -> None:
    info = load_policy(folder).info

    assert (info.environment, info.step_s, info.period_s, info.discount) == ("crowd_nav", 0.1, 0.1, 0.997)
    assert info.units == {"rays": ("m", 10.0), "drive_state": ("normalised", 1.0)}


def test_a_period_is_that_of_the_held_action(tmp_path: Path) -> None:
    save_random(tmp_path, "dreamerv3", "env.action_repeat=2")

    assert load_policy(tmp_path).info.period_s == 0.2


def test_a_period_is_a_decimal_number() -> None:
    assert 0.1 * 3 != 0.3
    assert PolicyInfo("dreamerv3", step_s=0.1, action_repeat=3).period_s == 0.3


def test_a_newer_format_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"policy.json: format=3 is unknown, allowed: 1, 2; update"):
        load_policy(changed(folder, format=3))


def test_an_unknown_algorithm_is_refused(folder: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"algorithm='a2c' describes no valid network; known here: dreamerv3, dreamerv3_rllib, ppo, sac;",
    ):
        load_policy(changed(folder, algorithm="a2c"))


def test_a_contract_of_another_network_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save_random(other, experiment=nano_gym("CartPole-v1"))
    extra = json.loads((other / "policy.json").read_text())["extra"]

    with pytest.raises(UserError, match=r"policy.json: its contract is of another network"):
        load_policy(changed(folder, extra=extra))


@pytest.mark.parametrize("contract", [{}, 3, {"entries": [{"key": "x"}], "frames": "all", "size": 831, "hash": ""}])
def test_a_contract_that_is_none_is_refused(folder: Path, contract: Any) -> None:
    with pytest.raises(UserError, match=r"policy.json: its contract describes no observation"):
        load_policy(changed(folder, extra={"contract": contract}))


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "shape": lambda tree: tree["entries"][0].update(shape=[10**10]),
    "end": lambda tree: tree["entries"][1].update(stop=10**16, shape=[10**16]),
    "axes": lambda tree: tree["entries"][0].update(shape=[1] * 10**5),
    "negative shape": lambda tree: tree["entries"][0].update(shape=[-3, -5]),
    "scaled without shape": lambda tree: (tree["entries"][0].update(shape=[]), tree.update(scaling="metric")),
    "other scaling": lambda tree: (tree["entries"][0].update(shape=[15, 1]), tree.update(scaling="metric")),
    "size as text": lambda tree: tree.update(size="831"),
    "size as a fraction": lambda tree: tree.update(size=1e16),
    "bound": lambda tree: tree["entries"][0].update(observed_low="near"),
    "bounds": lambda tree: tree["entries"][0].update(observed_low=[0.0]),
    "bounds of actions": lambda tree: tree["action"].update(low=[-1.0]),
    "first action": lambda tree: tree["action"].update(kind="discrete", low=[], high=[]),
    "entries": lambda tree: tree.update(entries={"rays": 3}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_contract_is_refused_before_anything_is_made(folder: Path, case: str) -> None:
    extra = json.loads((folder / "policy.json").read_text())["extra"]
    HOSTILE[case](extra["contract"])

    with pytest.raises(UserError, match=r"policy.json: its contract describes no observation"):
        load_policy(changed(folder, extra=extra))


@pytest.mark.parametrize("size", [10**10, 10**16])
def test_a_contract_of_another_size_is_refused_before_anything_is_made(folder: Path, size: int) -> None:
    extra = json.loads((folder / "policy.json").read_text())["extra"]
    extra["contract"]["size"] = extra["contract"]["entries"][0]["stop"] = size

    with pytest.raises(UserError, match=r"policy.json: its contract is of another network"):
        load_policy(changed(folder, extra=extra))


def test_a_changed_file_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    run = Path(shutil.copytree(RELEASE_0_1, tmp_path / "run"))
    changed(run / "checkpoints" / "000000194", symlog_obs=False)

    with pytest.raises(UserError, match=r"policy.json: missing, or different from manifest.json"):
        load_policy(run)


def test_a_folder_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run's directory with a checkpoint nor a checkpoint"):
        load_policy(tmp_path)


def test_a_pretrained_policy_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="pretrained:nobody: no such pretrained policy"):
        load_policy("pretrained:nobody")


def test_a_policy_of_half_precision_without_heads_acts(folder: Path) -> None:
    complete = load_policy(folder).act(np.full(831, 0.1))

    assert np.allclose(load_policy(pack_acting_only(folder)).act(np.full(831, 0.1)), complete, atol=0.01)


def test_a_value_needs_the_critic(folder: Path) -> None:
    with pytest.raises(
        ValueError, match="a value needs decoder, heads and critic, and the file was packed with acting"
    ):
        load_policy(pack_acting_only(folder)).value()


@pytest.mark.parametrize("robots", [0, -1, 1.5, True])
def test_robots_is_a_whole_number(folder: Path, robots: Any) -> None:
    with pytest.raises(ValueError, match=f"robots={robots!r}: it takes a whole number of at least 1, or None"):
        load_policy(folder, robots=robots)
