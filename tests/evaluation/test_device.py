"""The choice of the device that an evaluation acts on."""

import pytest
import torch

from dreamer_exp.config.errors import UserError
from dreamer_exp.evaluation.device import CPU, CUDA, GPU_WEIGHTS, choose_device, device_name
from tests.experiments import machine

WITHOUT_GPU = machine(gpus=0)


@pytest.mark.parametrize("weights", [1, GPU_WEIGHTS])
def test_auto_is_the_cpu_without_a_gpu(weights: int) -> None:
    assert choose_device("auto", weights, WITHOUT_GPU) == CPU


def test_auto_takes_the_gpu_for_a_large_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", GPU_WEIGHTS, machine(gpus=1)) == CUDA
    assert choose_device("auto", GPU_WEIGHTS - 1, machine(gpus=1)) == CPU


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(UserError, match=r"^device=cuda: no GPU is visible .*use device=cpu"):
        choose_device("cuda", 1, WITHOUT_GPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this torch can use a GPU")
def test_cuda_without_a_cuda_build_of_torch_is_refused() -> None:
    with pytest.raises(UserError, match=r"^device=cuda: this torch .* cannot use a GPU"):
        choose_device("cuda", 1, machine(gpus=1))


def test_the_cpu_is_named_as_such() -> None:
    assert device_name(CPU) == "cpu"
