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
    ("box", "kind"),
    [
        (Box(0, 255, (16, 12, 3), np.uint8), "image"),
        (Box(0, 255, (3, 16, 12), np.uint8), "grid"),
        (Box(0.0, 1.0, (3, 16, 12)), "grid"),
        (Box(0.0, 1.0, (16, 12)), "vector"),
        (Box(0.0, 1.0, (2, 3, 4)), "vector"),
    ],
)
def test_auto_picks_by_shape_as_published(box: Box, kind: str) -> None:
    config = ObsContractConfig("own", ["seen"], encoders={"seen": "auto"})
    assert build_contract(Dict({"seen": box}), ACCELERATIONS, config).entries[0].encoder == kind


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        ({"ray": "lidar"}, "'ray' is not in the observation contract. Did you mean 'rays'? It has: rays, goal."),
        ({"rays": "ldar"}, "rays=ldar is not allowed. Did you mean 'lidar'? Use: auto, vector, lidar, grid, image."),
        (
            {"rays": "image"},
            "rays=image: 'rays' is float32 (3, 16), but image needs (height, width, channels) of",
        ),
        ({"rays": "grid"}, "rays=grid: 'rays' is float32 (3, 16), but grid needs (height, width) or"),
        ({"goal": "lidar"}, "goal=lidar: 'goal' is float32 (2,), but lidar needs (bearings,) or"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_by_key(encoders: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        contract(encoders)
    assert message in str(refused.value)


def test_an_encoder_that_does_not_fit_is_refused_with_those_that_do() -> None:
    with pytest.raises(UserError, match=r"\(height, width, channels\) of uint8, .*; use vector or lidar\.$"):
        contract({"rays": "image"})


@pytest.mark.parametrize("algo", ["dreamerv3_rllib", "ppo"])
def test_an_algorithm_without_encoders_refuses_them(algo: str) -> None:
    with pytest.raises(UserError, match=rf"encoders.rays=lidar: algo={algo} encodes vectors only"):
        experiment(f"algo={algo}", "obs_contract.encoders={rays: lidar}", "hardware=cpu")
