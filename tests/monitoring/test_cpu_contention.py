"""A machine with more programs than CPUs is told once, where threads would wait for it."""

import pytest

from dreamer_exp.monitoring.cpu_contention import ContentionWatch
from tests.experiments import machine, nano

TWO = machine(cpus=2)


def told(watch: ContentionWatch, load: float, cpus: int = 2) -> list[str]:
    """What is said in two minutes of a run that was resumed after 500 seconds."""
    rows = [{"time/total_s": 500.0 + 10 * i} for i in range(13)]
    return [line for row in rows if (line := watch.look(row, load, cpus))]


@pytest.fixture
def watch() -> ContentionWatch:
    return ContentionWatch(nano("hardware.num_cpus=2", "hardware.num_env_runners=0", on=TWO))


def test_more_programs_than_cpus_are_told_once_with_what_to_do(watch: ContentionWatch) -> None:
    (line,) = told(watch, load=4.0)
    assert line.startswith("4.0 programs want this machine's 2 CPUs: the learner's 2 threads ")
    assert "hardware.num_cpus=1 learns with one thread" in line


def test_what_ran_before_the_run_is_not_held_against_it(watch: ContentionWatch) -> None:
    assert watch.look({"time/total_s": 500.0}, load=40.0, cpus=2) is None
    assert watch.look({"time/total_s": 559.0}, load=40.0, cpus=2) is None


@pytest.mark.parametrize(("load", "cpus"), [(2.6, 2), (2.9, 1), (17.0, 16)])
def test_a_run_that_fills_its_machine_by_itself_is_not_told(watch: ContentionWatch, load: float, cpus: int) -> None:
    assert told(watch, load, cpus) == []


@pytest.mark.parametrize(
    ("words", "gpus"),
    [(["hardware.num_cpus=1", "hardware.num_env_runners=0"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=1"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=0", "algo.learner=rllib"], 0),
     (["hardware=cuda", "hardware.num_cpus=2", "hardware.num_env_runners=0"], 1)],
    ids=["one thread", "one beside an env runner", "RLlib's, whose threads are torch's", "a GPU learns"],
)  # fmt: skip
def test_a_learner_whose_threads_do_not_wait_is_not_told(words: list[str], gpus: int) -> None:
    watch = ContentionWatch(nano(*words, on=machine(cpus=2, gpus=gpus)))
    assert told(watch, load=40.0) == []
