"""The replay of an update: it finds an overflow where it happens, and nothing in a healthy update."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.envs.make import contract_of
from dreamer_exp.training.divergence.replay import UpdateReplay, replay
from tests.experiments import nano

B, T = 4, 8
both_algorithms = pytest.mark.parametrize("algo", ["dreamerv3_rllib", "dreamerv3"])


def batch(algo: str, size: int) -> dict[str, NDArray[np.generic]]:
    """Return a random batch, by the learner's names."""
    draw = np.random.default_rng(0)
    shared = {"is_first": np.zeros((B, T), np.float32), "is_last": np.zeros((B, T), np.float32)}
    observation, action = draw.random((B, T, size), np.float32), draw.random((B, T, 2), np.float32)
    reward, nothing = draw.random((B, T), np.float32), np.zeros((B, T), np.float32)
    if algo == "dreamerv3_rllib":
        ends = {"is_terminated": nothing, "is_truncated": nothing}
        return shared | ends | {"obs": observation, "actions": action, "rewards": reward}
    before = {"previous_action": action[:, 0], "carry_deter": np.zeros((B, 64), np.float32)}
    before["carry_stoch"] = np.zeros((B, 64), np.float32)
    return shared | before | {"observation": observation, "action": action, "reward": reward, "is_terminal": nothing}


def replayed(algo: str, weight: str | None = None) -> UpdateReplay:
    """Replay an update; the first weight with this word in its name is set close to the largest float."""
    experiment = nano(f"algo={algo}")
    contract = contract_of(experiment.env, experiment.obs_contract)
    weights = None
    if weight:
        network = build(description(algo, contract.size))
        weights = network.state_dict()
        name = next(name for name in weights if weight in name and weights[name].ndim == 2)
        weights[name].fill_(1e38)
    return replay(experiment, contract, batch(algo, contract.size), weights, {})


def description(algo: str, size: int) -> dict[str, object]:
    from dataclasses import asdict

    from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

    network = asdict(SIZES["nano"]) if algo == "dreamerv3" else {"model_size": "nano", "batch_length_T": T}
    return {
        "algorithm": algo,
        "network": network,
        "observation_size": size,
        "action": {"kind": "box", "size": 2},
        "symlog_obs": True,
    }


@both_algorithms
def test_a_healthy_update_has_no_nonfinite_number(algo: str) -> None:
    again = replayed(algo)
    assert again.first is None
    assert np.isfinite(list(again.figures.values())).all()
    assert len(again.figures) > 10


@pytest.mark.parametrize(("algo", "file"), [("dreamerv3_rllib", "mlp.py"), ("dreamerv3", "layers.py")])
def test_an_overflow_is_found_in_its_line(algo: str, file: str) -> None:
    again = replayed(algo, "encoder")
    assert again.first is not None
    assert f"{file}:" in again.first
    assert "inf" in again.first
