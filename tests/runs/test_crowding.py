"""A machine with more programs than CPUs is told once, where threads would wait for it."""

import pytest

from dreamer_exp.runs.crowding import CrowdWatch
from tests.experiments import machine, nano

TWO = machine(cpus=2)


def test_more_programs_than_cpus_are_told_with_what_to_do() -> None:
    watch = CrowdWatch(nano("hardware.num_cpus=2", "hardware.num_env_runners=0", on=TWO))
    told = watch.look(load=4.0, cpus=2)
    assert told
    assert told.startswith("4.0 programs want this machine's 2 CPUs: the learner's 2 threads ")
    assert "hardware.num_cpus=1 learns with one thread" in told


def test_it_is_told_once() -> None:
    watch = CrowdWatch(nano("hardware.num_cpus=2", "hardware.num_env_runners=0", on=TWO))
    assert watch.look(load=4.0, cpus=2)
    assert watch.look(load=4.0, cpus=2) is None


@pytest.mark.parametrize(("load", "cpus"), [(2.6, 2), (2.9, 1), (17.0, 16)])
def test_a_run_that_fills_its_machine_by_itself_is_not_told(load: float, cpus: int) -> None:
    watch = CrowdWatch(nano("hardware.num_cpus=2", "hardware.num_env_runners=0", on=TWO))
    assert watch.look(load=load, cpus=cpus) is None


@pytest.mark.parametrize(
    ("words", "gpus"),
    [(["hardware.num_cpus=1", "hardware.num_env_runners=0"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=1"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=0", "algo.learner=rllib"], 0),
     (["hardware=cuda", "hardware.num_cpus=2", "hardware.num_env_runners=0"], 1)],
    ids=["one thread", "one beside an env runner", "RLlib's, whose threads are torch's", "a GPU learns"],
)  # fmt: skip
def test_a_learner_whose_threads_do_not_wait_is_not_told(words: list[str], gpus: int) -> None:
    watch = CrowdWatch(nano(*words, on=machine(cpus=2, gpus=gpus)))
    assert watch.look(load=40.0, cpus=2) is None
