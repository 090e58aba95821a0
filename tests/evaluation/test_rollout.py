"""Episodes in one process: results, seeds, global generators, faults."""

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.envs.boundary import EnvironmentFailed
from dreamer_exp.envs.contract import Fault
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.dispatch import run_episodes
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.rollout import PolicyRollouts, Stopped
from tests.evaluation.policies import GloballyRandom, Still, Wanderer
from tests.experiments import nano, nano_gym
from tests.training.odd_envs import Blind  # its module registers Careless too


def results(*args: Any, **options: Any) -> list[EpisodeResult]:
    return [finished.result for finished in evaluate_policy(*args, **options)]


def global_generators() -> tuple[Any, ...]:
    numbers = str(np.random.get_state())  # noqa: NPY002
    return random.getstate(), numbers, torch.get_rng_state().tolist()


class Seeds:
    """A `Watch` that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.calls += 1


def test_a_policy_is_evaluated_on_every_seed_in_order() -> None:
    ended = results(nano("evaluation.episodes=3"), Still)
    assert [(result.outcome, result.length) for result in ended] == [("timeout", 20)] * 3
    assert [result.seed for result in ended] == [1_000_000, 1_000_001, 1_000_002]


def test_an_evaluation_is_reproducible() -> None:
    experiment = nano("env.scenario=crossing", "env.max_steps=50")
    assert results(experiment, Wanderer) == results(experiment, Wanderer)


def test_an_ended_episode_makes_room_for_the_next() -> None:
    rollouts = PolicyRollouts(nano("env.max_steps=3"), Still)
    for first in range(0, 3 * ROWS, ROWS):
        episodes = [EvaluationEpisode(first + row) for row in range(ROWS)]
        assert [finished.episode for finished in rollouts.advance(episodes, seconds=60.0)] == episodes
    assert rollouts.advance([], seconds=60.0) == []


def test_rollouts_return_when_the_time_is_over_and_continue_later() -> None:
    rollouts = PolicyRollouts(nano("env.max_steps=3"), Still)
    episode = EvaluationEpisode(1)
    assert rollouts.advance([episode], seconds=0.0) == []
    assert [finished.result.length for finished in rollouts.advance([], seconds=60.0)] == [3]


def test_episodes_begin_one_by_one_within_the_time() -> None:
    begun = 0

    def watch() -> Seeds:
        nonlocal begun
        begun += 1
        return Seeds()

    rollouts = PolicyRollouts(nano("env.max_steps=3"), Still, watch)
    rollouts.advance([EvaluationEpisode(seed) for seed in range(3)], seconds=0.0)
    assert begun == 1
    assert len(rollouts.advance([], seconds=60.0)) == 3


def test_the_shortest_path_of_every_episode_is_measured() -> None:
    for result in (
        evaluate_baseline(nano("env.max_steps=400"), "straight_to_goal")[0],
        results(nano(), Still)[0],
    ):
        assert result.shortest_path_length == pytest.approx(result.route_length - 2.0)  # one waypoint, no walls between


def test_spl_is_below_one_where_the_path_is_not_the_shortest() -> None:
    result, *_ = evaluate_baseline(nano("env.max_steps=400"), "straight_to_goal")
    assert result.spl is not None
    assert 0.9 < result.spl < 1.0


def test_straight_to_goal_reaches_the_goal_in_an_empty_arena() -> None:
    experiment = nano("env.max_steps=400", "evaluation.episodes=5")
    assert [result.outcome for result in evaluate_baseline(experiment, "straight_to_goal")] == ["success"] * 5


def test_the_random_baseline_acts_in_discrete_tasks() -> None:
    assert len(evaluate_baseline(nano_gym("CartPole-v1"), "random")) == 2


def test_an_evaluation_does_not_change_the_global_generators() -> None:
    before = global_generators()
    evaluate_policy(nano_gym("Careless-v0"), GloballyRandom)
    evaluate_baseline(nano_gym("Careless-v0"), "random")
    assert global_generators() == before


def test_an_interrupted_evaluation_does_not_change_the_global_generators() -> None:
    experiment, before = nano_gym("Careless-v0"), global_generators()
    rollouts = PolicyRollouts(experiment, GloballyRandom)
    rollouts.advance(episode_list(experiment).episodes, seconds=0.0)
    rollouts.close()
    assert global_generators() == before


def test_an_evaluation_does_not_depend_on_the_global_generators() -> None:
    first = results(nano_gym("Careless-v0"), GloballyRandom)
    random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
    assert results(nano_gym("Careless-v0"), GloballyRandom) == first


def test_an_evaluation_cut_into_slices_does_not_depend_on_the_global_generators() -> None:
    experiment = nano_gym("Careless-v0", "env.max_steps=3")
    complete = PolicyRollouts(experiment, Still).advance([EvaluationEpisode(5)], seconds=60.0)
    sliced = PolicyRollouts(experiment, Still)
    sliced.advance([EvaluationEpisode(5)], seconds=0.0)
    random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
    assert sliced.advance([], seconds=60.0) == complete


def test_episodes_are_recorded_from_reset_to_last_step() -> None:
    ended = evaluate_policy(nano("evaluation.episodes=2"), Still, Seeds)
    assert [finished.recording.calls for finished in ended] == [finished.result.length + 1 for finished in ended]


def test_a_policy_computes_with_one_thread_and_the_number_is_restored() -> None:
    seen = []

    class Counting(Still):
        def act(self, observations: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().act(observations)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        evaluate_policy(nano("env.max_steps=2"), Counting)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_a_fault_ends_only_its_episode() -> None:
    ended = results(nano_gym("Broken-v0"), GloballyRandom)
    assert [(result.outcome, result.episode_return, result.length) for result in ended] == [("fault", 2.0, 3)] * 2


def test_a_fault_ends_only_its_episode_of_a_baseline() -> None:
    ended = evaluate_baseline(nano_gym("Broken-v0"), "random")
    assert [(result.outcome, result.episode_return, result.length) for result in ended] == [("fault", 2.0, 3)] * 2


def test_a_fault_beyond_the_limit_fails_the_evaluation() -> None:
    with pytest.raises(Fault, match="reward is nan"):
        evaluate_policy(nano_gym("Broken-v0", "env.max_faults=0"), GloballyRandom)


def test_an_evaluation_can_be_interrupted() -> None:
    with pytest.raises(Stopped):
        evaluate_policy(nano(), Still, should_stop=lambda: True)


def test_no_episodes_need_no_workers() -> None:
    assert run_episodes(lambda: PolicyRollouts(nano(), Still), [], at_once=1) == []


class Alone(Blind):
    """Exists once at a time, as a simulator behind a port."""

    open = 0

    def __init__(self) -> None:
        super().__init__()
        if Alone.open:
            raise RuntimeError("the port is in use")
        Alone.open += 1

    def close(self) -> None:
        Alone.open -= 1


gymnasium.register("OnePort-v0", Alone)
ONE_AT_A_TIME = "evaluation.max_parallel_envs=1"


@pytest.mark.parametrize("evaluate", [lambda e: results(e, Still), lambda e: evaluate_baseline(e, "random")])
def test_an_environment_that_exists_once_is_evaluated_one_at_a_time(evaluate: Any) -> None:
    experiment = nano_gym("OnePort-v0", "evaluation.episodes=3", ONE_AT_A_TIME, "env.max_steps=2")
    assert [result.length for result in evaluate(experiment)] == [2] * 3
    assert Alone.open == 0


def test_a_second_environment_that_cannot_be_made_is_reported_with_the_key_that_avoids_it() -> None:
    message = (
        r"^env\.id='OnePort-v0' cannot be made: RuntimeError: the port is in use\. .*evaluation\.max_parallel_envs=1"
    )
    with pytest.raises(EnvironmentFailed, match=message):
        results(nano_gym("OnePort-v0"), Still)
    assert Alone.open == 0


def test_every_environment_is_closed_when_an_evaluation_is_stopped() -> None:
    asked = iter([False, True])
    with pytest.raises(Stopped):
        results(nano_gym("OnePort-v0", ONE_AT_A_TIME, "env.max_steps=1000000"), Still, should_stop=lambda: next(asked))
    assert Alone.open == 0
