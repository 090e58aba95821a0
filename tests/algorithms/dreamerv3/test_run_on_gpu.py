"""Runs on a GPU with the cuda_graph and fused backends; skipped without a GPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.algorithms.dreamerv3.test_algorithm import equal, weights
from tests.experiments import machine, nano

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.usefixtures("ray_local"),
]

WORDS = (
    "hardware=cuda", "hardware.num_env_runners=0", "algo=dreamerv3", "algo.batch_size_B=16",
    "algo.training_ratio=64", "algo.precision=tf32", "algo.replay_device=cuda",
)  # fmt: skip
ITERATIONS = 6  # of about 8 updates each, whose windows overlap
each_backend = pytest.mark.parametrize("backend", ["cuda_graph", "fused"])


def build(backend: str, *words: str) -> PublishedDreamerV3:
    algorithm = build_algorithm(nano(*WORDS, f"algo.backend={backend}", *words, on=machine(gpus=1)))
    assert isinstance(algorithm, PublishedDreamerV3)
    return algorithm


def trained(backend: str, *words: str) -> dict[str, np.ndarray]:
    algorithm = build(backend, *words)
    for _ in range(ITERATIONS):
        algorithm.train()
    assert (algorithm.backend.name, algorithm.backend.why) == (backend, "")
    found = weights(algorithm)
    algorithm.stop()
    return found


def test_same_seed_gives_the_same_weights_with_the_fused_backend() -> None:
    assert equal(trained("fused"), trained("fused"))


@each_backend
def test_same_seed_gives_the_same_weights_with_the_lidar_encoder(backend: str) -> None:
    words = ("obs_contract.encoders={rays: lidar}", "algo.precision=bfloat16")
    assert equal(trained(backend, *words), trained(backend, *words))


@each_backend
def test_checkpoint_restores_the_weights(backend: str, tmp_path: Path) -> None:
    algorithm = build(backend)
    algorithm.train()
    algorithm.save_to_path(str(tmp_path))
    learned = weights(algorithm)
    algorithm.stop()
    other = build(backend)
    other.restore_from_path(str(tmp_path))
    assert equal(weights(other), learned)
    other.train()
    other.stop()


def test_main_process_uses_one_thread() -> None:
    algorithm = build("fused")
    assert torch.get_num_threads() == 1
    algorithm.stop()
