"""Memory of a run's processes, and the warning before it is exhausted."""

from typing import Any

import psutil
import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.envs.make import contract_of
from dreamer_exp.monitoring import memory
from dreamer_exp.monitoring.memory import MIN_ROWS, MemoryWatch, exhaustion_warning, rss, workers_rss
from dreamer_exp.planning.forecast import MAIN_BYTES, RUNNER_BYTES, forecast
from tests.experiments import nano, nano_gym

MIB, GIB = 2**20, 2**30


def rows(*taken: float, replay: list[float] | None = None, runners: int | None = 0) -> list[dict[str, Any]]:
    """Return a row every 1,000 env steps and ten seconds, with these MiB in the main process and in the replay."""
    return [
        {
            "env_steps": 1000 * i,
            "time/total_s": 10.0 * i,
            "memory/rss_bytes": int(mebibytes * MIB),
            "memory/env_runners_rss_bytes": runners,
            "replay/bytes": int((replay[i] if replay else 100) * MIB),
        }
        for i, mebibytes in enumerate(taken)
    ]


def leaking(count: int = 40) -> list[dict[str, Any]]:
    """Return rows that grow by 1 MiB each: 1,000 MiB in a million env steps."""
    return rows(*(500 + i for i in range(count)))


# The warning


def test_a_leak_that_exhausts_memory_is_reported_with_its_size() -> None:
    warning = exhaustion_warning(leaking(), 900 * MIB, 1_000_000, 0)
    assert warning is not None
    assert "will need 1.0 GiB more" in warning
    assert "0.9 GiB are free" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(("free", "steps"), [(1001, 1_000_000), (900, 800_000)])
def test_a_leak_that_fits_into_memory_is_not_reported(free: int, steps: int) -> None:
    assert exhaustion_warning(leaking(), free * MIB, steps, 0) is None


def test_leaks_of_env_runners_count() -> None:
    history = rows(*[500.0] * 40)
    for i, row in enumerate(history):
        row["memory/env_runners_rss_bytes"] = i * MIB
    assert exhaustion_warning(history, 900 * MIB, 1_000_000, 0) is not None


def test_constant_memory_is_not_reported() -> None:
    noise = [500 + (0.1 if i % 2 else -0.1) for i in range(40)]
    assert exhaustion_warning(rows(*noise, runners=None), 100 * MIB, 10**6, 0) is None


def test_caches_that_fill_at_the_beginning_are_not_a_leak() -> None:
    filling = [500 + min(10 * i, 100) for i in range(40)]
    assert exhaustion_warning(rows(*filling), 100 * MIB, 10**9, 0) is None


def test_too_few_rows_give_no_warning() -> None:
    assert exhaustion_warning(leaking(MIN_ROWS - 1), 0, 10**9, 0) is None
    assert exhaustion_warning(leaking(MIN_ROWS), 0, 10**9, 0) is not None


def test_replay_that_fills_on_the_host_is_not_a_leak_but_needs_its_remaining_memory() -> None:
    replay = [2.0 * i for i in range(40)]
    history = rows(*(500 + mebibytes for mebibytes in replay), replay=replay)
    assert exhaustion_warning(history, GIB, 10**9, GIB) is None
    assert exhaustion_warning(history, GIB, 10**9, GIB + 1) is not None


def test_a_replay_on_the_gpu_does_not_count_as_growth_of_the_host() -> None:
    replay = [2.0 * i for i in range(40)]
    assert exhaustion_warning(rows(*[500.0] * 40, replay=replay), GIB, 10**6, None) is None
    history = rows(*(500 + mebibytes for mebibytes in replay), replay=replay)
    assert exhaustion_warning(history, GIB, 10**6, None) is not None


def watch() -> MemoryWatch:
    experiment = nano("run.train_iterations=1_000_000", "algo.replay_capacity=1000")
    return MemoryWatch(experiment, contract_of(experiment.env, experiment.obs_contract))


def test_the_watch_warns_once() -> None:
    watched = watch()
    warnings = [watched.check(row, available_bytes=100 * MIB) for row in leaking(60)]
    assert sum(line is not None for line in warnings) == 1
    assert warnings[MIN_ROWS - 1] is not None


def test_the_watch_skips_rows_in_quick_succession() -> None:
    watched, history = watch(), leaking(60)
    for row in history:
        row["time/total_s"] /= 100
    assert [line for row in history if (line := watched.check(row, available_bytes=0))] == []


# Real processes


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_env_runners_are_counted_separately_and_take_about_the_forecast() -> None:
    algorithm = build_algorithm(nano("hardware.num_env_runners=1", "hardware.num_cpus=2"))
    algorithm.train()
    memory._workers_rss.cache_clear()  # values of other tests in the same period
    taken = workers_rss()
    assert taken is not None
    assert RUNNER_BYTES < taken < 2 * RUNNER_BYTES  # RSS counts shared pages in each process
    assert rss() == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    assert rss() > 0.5 * MAIN_BYTES
    algorithm.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_memory_does_not_grow_once_the_replay_is_full() -> None:
    words = ("algo.replay_capacity=2000", "algo.training_ratio=0.25", "env.max_steps=500")
    experiment = nano_gym("CartPole-v1", *words, "hardware.num_envs_per_env_runner=8", "hardware.num_cpus=1")
    algorithm = build_algorithm(experiment)
    taken = {}
    steps = 0
    while steps < 20_000:
        algorithm.train()
        steps += algorithm.last_iteration.env_steps
        taken[steps] = rss()
    full = min(steps for steps in taken if steps >= 3000)  # the buffer is full and the first updates are done
    assert algorithm.replay_steps == 2000
    assert forecast(experiment, contract_of(experiment.env, experiment.obs_contract)).replay_steps == 2000
    assert taken[steps] < 1.03 * taken[full]
    algorithm.stop()
