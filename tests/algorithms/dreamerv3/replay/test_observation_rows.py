"""Observations in the replay: bytes for grids and images, float16 for rays, also through its file and its forecast."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict

from dreamer_exp.algorithms.dreamerv3.memory import memory_model
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part, parts_of_contract, replayed_bytes
from dreamer_exp.algorithms.dreamerv3.replay import file
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.steps import Steps
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ObservationContract, build_contract
from tests.experiments import experiment

GRID = Part("map", "grid", (8, 8), 2, 66, "bernoulli")
PICTURE = Part("picture", "image", (8, 8, 1), 67, 131, "pixels")
PARTS = (Part("speed", "vector", (2,), 0, 2), GRID, Part("goal", "vector", (1,), 66, 67), PICTURE)
SIZE, NETWORK = 131, SIZES["nano"]


def replay(parts: tuple[Part, ...] = PARTS, size: int = SIZE) -> LatentReplay:
    return LatentReplay(capacity=8, num_streams=1, observation_size=size, actions=1, size=NETWORK, parts=parts, seed=0)


def observations(number: int) -> np.ndarray:
    random = np.random.default_rng(0)
    cells, pixels = random.integers(0, 2, (number, 64)), random.integers(0, 256, (number, 64))
    return np.concatenate([random.normal(size=(number, 2)), cells, np.ones((number, 1)), pixels], 1).astype(np.float32)


def steps(observation: np.ndarray) -> Steps:
    number = len(observation)
    flags = np.zeros((3, number), np.bool_)
    return Steps(
        observation, np.zeros((number, 1), np.float32), np.zeros(number, np.float32), *flags,
        np.zeros((number, NETWORK.deter), np.float16), np.zeros((number, NETWORK.stoch), np.uint8),
    )  # fmt: skip


def test_cells_and_pixels_come_back_as_they_were_and_take_a_byte() -> None:
    stored, seen = replay(), observations(6)
    stored.add(0, steps(seen))
    assert np.array_equal(stored.newest(6).observation, seen)
    batch, places = stored.sample(1, 5)
    assert torch.equal(batch.observation[0], torch.from_numpy(seen)[places[0]])
    floats = replay(parts=()).bytes_per_step
    assert floats - stored.bytes_per_step == 3 * (64 + 64) == 4 * SIZE - replayed_bytes(SIZE, PARTS)


def test_a_ring_that_is_overwritten_keeps_the_newest_cells() -> None:
    stored, seen = replay(), observations(11)
    stored.add(0, steps(seen))
    assert np.array_equal(stored.newest(8).observation, seen[-8:])


@pytest.mark.parametrize(("parts", "size"), [(PARTS, SIZE), ((Part("map", "grid", (8, 8), 0, 64, "bernoulli"),), 64)])
def test_a_saved_replay_keeps_the_cells(parts: tuple[Part, ...], size: int, tmp_path: Path) -> None:
    stored, other = replay(parts, size), replay(parts, size)
    stored.add(0, steps(observations(6)[:, 2:66] if size == 64 else observations(6)))
    file.save(stored, tmp_path)
    file.load(other, tmp_path)
    assert np.array_equal(other.newest(6).observation, stored.newest(6).observation)


def test_values_between_0_and_1_are_kept_in_steps_of_a_byte() -> None:
    part = (Part("map", "grid", (8, 8), 0, 64, "bernoulli"),)
    stored, seen = replay(part, 64), np.random.default_rng(1).random((4, 64), np.float32)
    stored.add(0, steps(seen))
    assert np.abs(stored.newest(4).observation - seen).max() <= 0.5 / 255 + 1e-6


def test_rays_within_narrow_bounds_are_float16() -> None:
    parts = parts_of_contract(lidar_contract(bound=4.0))
    stored, seen = replay(parts, 18), 2 * np.random.default_rng(1).random((4, 18), np.float32)
    stored.add(0, steps(seen))
    kept = stored.newest(4).observation
    assert np.array_equal(kept[:, :2], seen[:, :2])
    assert np.array_equal(kept[:, 2:], seen[:, 2:].astype(np.float16))
    assert replay((), 18).bytes_per_step - stored.bytes_per_step == 2 * 16 == 4 * 18 - replayed_bytes(18, parts)


@pytest.mark.parametrize("bound", [4.5, np.inf])
def test_rays_within_wide_bounds_are_float32(bound: float) -> None:
    assert replayed_bytes(18, parts_of_contract(lidar_contract(bound))) == 4 * 18


@pytest.mark.parametrize("kind", ["vector", "grid", "lidar"])
def test_an_entry_of_uint8_takes_a_byte_a_number_and_comes_back_as_it_was(kind: str) -> None:
    parts = parts_of_contract(byte_contract({"heights": kind, "map": "grid"}))
    stored, seen = replay(parts, 130), byte_observations(6)
    stored.add(0, steps(seen))
    assert np.array_equal(stored.newest(6).observation, seen)
    batch, places = stored.sample(1, 5)
    assert torch.equal(batch.observation[0], torch.from_numpy(seen)[places[0]])
    assert replay((), 130).bytes_per_step - stored.bytes_per_step == 3 * 128 == 4 * 130 - replayed_bytes(130, parts)


def test_the_forecast_counts_an_entry_of_uint8_as_bytes() -> None:
    flat, bytewise = (memory_of(byte_contract(encoders)) for encoders in ({}, {"heights": "grid"}))
    assert flat - bytewise == 3 * 128


def test_vectors_alone_stay_float32() -> None:
    assert parts_of_contract(byte_contract({})) == ()


def byte_contract(encoders: dict[str, str]) -> ObservationContract:
    pixels = Box(0, 255, (8, 8), np.uint8)
    boxes = {"goal": Box(-9.0, 9.0, (2,)), "heights": pixels, "map": pixels}
    config = ObsContractConfig(keys=list(boxes), encoders=encoders)
    return build_contract(Dict(boxes), Box(-1.0, 1.0, (1,)), config)


def byte_observations(number: int) -> np.ndarray:
    random = np.random.default_rng(0)
    columns = random.normal(size=(number, 2)), random.integers(0, 256, (number, 128))
    return np.concatenate(columns, 1).astype(np.float32)


def memory_of(contract: ObservationContract) -> int:
    return memory_model(experiment("hardware=cpu", "algo.model_size=nano"), contract).bytes_per_step


def lidar_contract(bound: float) -> ObservationContract:
    boxes = {"goal": Box(-9.0, 9.0, (2,)), "rays": Box(-1.0, bound, (16,))}
    config = ObsContractConfig(keys=list(boxes), encoders={"rays": "lidar"})
    return build_contract(Dict(boxes), Box(-1.0, 1.0, (1,)), config)
