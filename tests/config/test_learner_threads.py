"""How many threads torch uses in the learner's process."""

import pytest

from tests.config.composing import loaded
from tests.experiments import machine


@pytest.mark.parametrize(("runners", "threads"), [(0, 8), (3, 5), (8, 1)])
def test_learner_on_the_cpu_uses_the_cpus_that_env_runners_leave(runners: int, threads: int) -> None:
    hardware = loaded("hardware=cpu", f"hardware.num_env_runners={runners}", on=machine(cpus=8)).hardware

    assert hardware.learner_threads == threads


@pytest.mark.parametrize("runners", [0, 3])
def test_learner_on_a_gpu_uses_one_thread(runners: int) -> None:
    hardware = loaded("hardware=cuda", f"hardware.num_env_runners={runners}", on=machine(cpus=8, gpus=1)).hardware

    assert hardware.learner_threads == 1
