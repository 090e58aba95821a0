"""`obs_contract.encoders`: which contracts it changes, and what it refuses."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from stacked_env import ACCELERATIONS

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import build_contract
from tests.experiments import experiment

SPACE = Dict({"rays": Box(0.0, 1.0, (3, 16), np.float32), "goal": Box(-1.0, 1.0, (2,), np.float32)})


def contract(encoders: dict[str, str]) -> object:
    return build_contract(SPACE, ACCELERATIONS, ObsContractConfig("own", ["rays", "goal"], encoders=encoders))


def test_an_encoder_changes_the_hash_unless_it_is_the_default() -> None:
    plain = contract({})
    assert contract({"rays": "vector", "goal": "vector"}) == plain
    assert contract({"rays": "lidar"}).hash != plain.hash  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        ({"ray": "lidar"}, "'ray' is not in the observation contract. Did you mean 'rays'? It has: rays, goal."),
        ({"rays": "ldar"}, "rays=ldar is not allowed. Did you mean 'lidar'? Use: vector, lidar."),
        ({"goal": "lidar"}, "goal=lidar: 'goal' has the shape (2,), but lidar needs (bearings,) or"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_by_key(encoders: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        contract(encoders)
    assert message in str(refused.value)


@pytest.mark.parametrize("algo", ["dreamerv3_rllib", "ppo"])
def test_an_algorithm_without_encoders_refuses_them(algo: str) -> None:
    with pytest.raises(UserError, match=rf"encoders.rays=lidar: algo={algo} encodes vectors only"):
        experiment(f"algo={algo}", "obs_contract.encoders={rays: lidar}", "hardware=cpu")
