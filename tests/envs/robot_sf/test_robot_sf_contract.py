"""Contract facts that need no package: Robot SF's spaces are crowd_nav's, the grid has its original sizes."""

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
def test_a_policy_fits_both_environments_because_the_contract_hash_agrees(env: str, contract: str) -> None:
    here, there = (experiment(f"env={name}", f"obs_contract={contract}") for name in (env, "crowd_nav"))

    assert contract_of(here.env, here.obs_contract).hash == contract_of(there.env, there.obs_contract).hash


@pytest.mark.parametrize("env", GRIDS)
def test_the_grid_contract_has_the_original_number_of_floats(env: str) -> None:
    name, size, cells = GRIDS[env]
    asked = experiment(f"env={env}", f"obs_contract={name}")
    contract = contract_of(asked.env, asked.obs_contract)

    assert contract.size == size
    assert {entry.key: entry.shape for entry in contract.entries}["occupancy_grid"] == (3, cells, cells)


@pytest.mark.parametrize("env", GRIDS)
def test_the_grid_contract_takes_every_entry_in_the_order_of_the_space(env: str) -> None:
    asked = experiment(f"env={env}", f"obs_contract={GRIDS[env][0]}")
    assert isinstance(asked.env, RobotSFConfig)

    assert asked.obs_contract.keys == list(known(asked.env)[0].spaces)


def test_the_two_grids_are_two_contracts() -> None:
    hashes = set()
    for env, (name, _, _) in GRIDS.items():
        asked = experiment(f"env={env}", f"obs_contract={name}")
        hashes.add(contract_of(asked.env, asked.obs_contract).hash)

    assert len(hashes) == 2


def test_the_structured_observation_has_no_drive_state_for_the_stand_ins_policies() -> None:
    asked = experiment("env=robot_sf_br08_socnav_grid", "obs_contract=socnav_grid_160x160")
    assert isinstance(asked.env, RobotSFConfig)

    assert not {"drive_state", "rays"} & set(known(asked.env)[0].spaces)
