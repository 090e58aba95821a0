"""The contract without the package: the spaces equal crowd_nav's, and the grid has its original sizes."""

import pytest

from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.spaces import known
from tests.experiments import experiment

GRIDS = {
    "robot_sf_br08_socnav_grid_32x32": ("socnav_grid", 3_360, 32),
    "robot_sf_br08_socnav_grid": ("socnav_grid_160x160", 77_088, 160),
}


@pytest.fixture(autouse=True)
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)


@pytest.mark.parametrize("contract", ["drive_state_rays", "drive_state_rays_latest"])
@pytest.mark.parametrize("env", ["robot_sf", "robot_sf_br08"])
def test_contract_hash_equals_that_of_crowd_nav(env: str, contract: str) -> None:
    here, there = (experiment(f"env={name}", f"obs_contract={contract}") for name in (env, "crowd_nav"))

    assert contract_of(here.env, here.obs_contract).hash == contract_of(there.env, there.obs_contract).hash


@pytest.mark.parametrize("env", GRIDS)
def test_grid_contract_has_the_original_size(env: str) -> None:
    name, size, cells = GRIDS[env]
    composed = experiment(f"env={env}", f"obs_contract={name}")
    contract = contract_of(composed.env, composed.obs_contract)

    assert contract.size == size
    assert {entry.key: entry.shape for entry in contract.entries}["occupancy_grid"] == (3, cells, cells)


@pytest.mark.parametrize("env", GRIDS)
def test_grid_contract_has_every_entry_in_the_order_of_the_space(env: str) -> None:
    composed = experiment(f"env={env}", f"obs_contract={GRIDS[env][0]}")
    assert isinstance(composed.env, RobotSFConfig)

    assert composed.obs_contract.keys == list(known(composed.env)[0].spaces)


def test_the_two_grids_have_different_contracts() -> None:
    hashes = set()
    for env, (name, _, _) in GRIDS.items():
        composed = experiment(f"env={env}", f"obs_contract={name}")
        hashes.add(contract_of(composed.env, composed.obs_contract).hash)

    assert len(hashes) == 2


def test_structured_observation_has_neither_drive_state_nor_rays() -> None:
    composed = experiment("env=robot_sf_br08_socnav_grid", "obs_contract=socnav_grid_160x160")
    assert isinstance(composed.env, RobotSFConfig)

    assert not {"drive_state", "rays"} & set(known(composed.env)[0].spaces)
