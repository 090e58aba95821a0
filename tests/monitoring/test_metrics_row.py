"""Metrics rows: their names, and null for means over nothing."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.algorithms.spec import AlgorithmSpec
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.metrics_row import blank_nonfinite, make_row, window_figures
from dreamer_exp.rundir.metric_names import LEARNER_METRICS, ROW, WINDOW

# a public interface: a new name breaks compare, W&B boards and users' scripts
PROMISED = """env_steps updates episodes episode_return_mean episode_return_window episode_length_mean
success_rate_window collision_rate_window timeout_rate_window training_ratio_actual loss/world_model loss/decoder
loss/reward loss/continue loss/dynamics loss/representation loss/actor loss/critic actor_entropy grad_norm/world_model
grad_norm/actor grad_norm/critic replay/steps replay/bytes time/sample_s time/update_s time/total_s
rate/env_steps_per_s rate/updates_per_s memory/rss_bytes memory/env_runners_rss_bytes
memory/gpu_bytes""".split()  # noqa: SIM905  # a list literal of 32 lines reads worse

DREAMERV3, RLLIB = (find_spec("algorithms", name) for name in ("dreamerv3", "dreamerv3_rllib"))
each_algorithm = pytest.mark.parametrize("spec", [DREAMERV3, RLLIB], ids=["dreamerv3", "dreamerv3_rllib"])


def row_of(iteration: Iteration, spec: AlgorithmSpec = RLLIB, **changed: float) -> dict[str, object]:
    counters = Counters()
    counters.add(iteration)
    learner = dict.fromkeys(spec.metrics.values(), 1.5) | changed
    replay = {"steps": 16, "bytes": 100}
    return make_row(counters, iteration, learner, spec=spec, steps_per_update=32, replay=replay)


def test_the_row_has_every_promised_name() -> None:
    assert set(PROMISED) <= set(row_of(Iteration(env_steps=16, updates=2)))


@each_algorithm
def test_the_row_has_exactly_the_names_of_metric_names(spec: AlgorithmSpec) -> None:
    expected = [name for name in ROW if name not in LEARNER_METRICS or name in spec.metrics]
    assert list(row_of(Iteration(env_steps=16, updates=2), spec)) == expected


def test_a_metric_that_only_this_algorithm_has_is_added() -> None:
    row = row_of(Iteration(env_steps=16, updates=2), replace(RLLIB, metrics={**RLLIB.metrics, "loss/clip": "clip"}))
    assert row["loss/clip"] == 1.5
    assert row.keys() - {"loss/clip"} == row_of(Iteration(env_steps=16, updates=2)).keys()


@each_algorithm
def test_every_promised_metric_of_the_learner_is_a_number(spec: AlgorithmSpec) -> None:
    row = row_of(Iteration(env_steps=16, updates=2), spec)
    assert {row[name] for name in PROMISED if name in LEARNER_METRICS} == {1.5}


@each_algorithm
def test_a_metric_of_another_algorithm_is_absent(spec: AlgorithmSpec) -> None:
    row = row_of(Iteration(env_steps=16, updates=2), spec)
    assert {name for name in LEARNER_METRICS if name not in row} == set(LEARNER_METRICS) - spec.metrics.keys()


def test_without_a_replay_its_metrics_are_absent() -> None:
    counters, iteration = Counters(), Iteration(env_steps=16)
    counters.add(iteration)
    row = make_row(counters, iteration, {}, spec=RLLIB, steps_per_update=32, replay=None)
    assert not [name for name in row if name.startswith("replay/")]


def test_an_iteration_without_ended_episodes_has_null_means_and_zero_episodes() -> None:
    row = row_of(Iteration(env_steps=16, updates=2))
    assert row["episodes"] == 0
    names = ("episode_return_mean", "episode_length_mean", "episode_return_window", "success_rate_window")
    assert [row[name] for name in names] == [None] * 4


def test_the_window_keeps_episodes_of_earlier_iterations() -> None:
    counters = Counters()
    counters.add(Iteration(env_steps=16, episodes=[EpisodeResult(3.0, 16, outcome="success")]))
    later = Iteration(env_steps=16)
    counters.add(later)
    row = make_row(counters, later, {}, spec=RLLIB, steps_per_update=32, replay={"steps": 0, "bytes": 0})
    assert (row["episode_return_mean"], row["episode_return_window"], row["success_rate_window"]) == (None, 3.0, 1.0)


def test_the_window_holds_the_last_hundred_episodes() -> None:
    counters = Counters()
    counters.add(Iteration(episodes=[EpisodeResult(float(i), 1) for i in range(WINDOW + 50)]))
    assert window_figures(counters.window)["episode_return_window"] == pytest.approx(99.5)


def test_an_episode_that_ends_by_a_fault_counts_only_as_a_fault() -> None:
    faulty = EpisodeResult(9.0, 3, outcome="fault", faults=2, fault="reward is nan")
    complete = EpisodeResult(1.0, 5, outcome="success")
    row = row_of(Iteration(env_steps=16, episodes=[faulty, complete]))
    assert (row["env_faults"], row["episodes"], row["episodes_total"]) == (2, 1, 1)
    assert (row["episode_return_mean"], row["episode_length_mean"], row["episode_return_window"]) == (1.0, 5.0, 1.0)
    assert row["success_rate_window"] == 1.0


def test_rates_count_each_outcome_once() -> None:
    outcomes = ("success", "pedestrian_collision", "wall_collision", "timeout")
    figures = window_figures(EpisodeResult(0.0, 1, outcome=outcome) for outcome in outcomes)
    rates = [figures[f"{name}_rate_window"] for name in ("success", "collision", "timeout")]
    assert rates == [0.25, 0.5, 0.25]


def test_tasks_without_outcomes_have_a_return_but_no_rates() -> None:
    figures = window_figures([EpisodeResult(7.0, 1)])
    assert (figures["episode_return_window"], figures["success_rate_window"]) == (7.0, None)


def test_the_training_ratio_is_replayed_steps_per_env_step() -> None:
    assert row_of(Iteration(env_steps=16, updates=4))["training_ratio_actual"] == 4 * 32 / 16


@each_algorithm
def test_an_iteration_without_updates_has_no_losses(spec: AlgorithmSpec) -> None:
    assert row_of(Iteration(env_steps=16, updates=0), spec)["loss/world_model"] is None


METRICS = [(spec, name) for spec in (DREAMERV3, RLLIB) for name in spec.metrics]


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from(METRICS))
def test_a_nonfinite_loss_is_named_and_replaced_by_null(value: float, metric: tuple[AlgorithmSpec, str]) -> None:
    spec, name = metric
    row = row_of(Iteration(env_steps=16, updates=1), spec, **{spec.metrics[name]: value})
    assert blank_nonfinite(row) == [name]
    assert json.loads(json.dumps(row, allow_nan=False))[name] is None
