"""The warning about CPU contention."""

import pytest

from dreamer_exp.monitoring.cpu_contention import ContentionWatch
from tests.experiments import machine, nano

TWO = machine(cpus=2)


def warnings(watch: ContentionWatch, load: float, cpus: int = 2) -> list[str]:
    """Return the warnings of two minutes of a run that was resumed after 500 seconds."""
    rows = [{"time/total_s": 500.0 + 10 * i} for i in range(13)]
    return [line for row in rows if (line := watch.check(row, load, cpus))]


@pytest.fixture
def watch() -> ContentionWatch:
    return ContentionWatch(nano("hardware.num_cpus=2", "hardware.num_env_runners=0", on=TWO))


def test_contention_is_reported_once_with_what_to_do(watch: ContentionWatch) -> None:
    assert warnings(watch, load=6.0) == [
        "CPU contention: load 6.0 on 2 CPUs; updates may be several times slower. "
        "Use hardware.num_cpus=1 for a single thread."
    ]


def test_the_load_before_the_run_is_ignored(watch: ContentionWatch) -> None:
    assert watch.check({"time/total_s": 500.0}, load=40.0, cpus=2) is None
    assert watch.check({"time/total_s": 559.0}, load=40.0, cpus=2) is None


@pytest.mark.parametrize(("load", "cpus"), [(2.6, 2), (2.9, 1), (17.0, 16)])
def test_run_that_uses_all_cpus_alone_is_not_contention(watch: ContentionWatch, load: float, cpus: int) -> None:
    assert warnings(watch, load, cpus) == []


@pytest.mark.parametrize(
    ("words", "gpus"),
    [(["hardware.num_cpus=1", "hardware.num_env_runners=0"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=1"], 0),
     (["hardware.num_cpus=2", "hardware.num_env_runners=0", "algo=dreamerv3_rllib"], 0),
     (["hardware=cuda", "hardware.num_cpus=2", "hardware.num_env_runners=0"], 1)],
    ids=["one thread", "one thread and an env runner", "RLlib's learner", "learner on a GPU"],
)  # fmt: skip
def test_a_learner_without_synchronised_threads_never_warns(words: list[str], gpus: int) -> None:
    watch = ContentionWatch(nano(*words, on=machine(cpus=2, gpus=gpus)))
    assert warnings(watch, load=40.0) == []
