"""Films of episodes: which are filmed, what is refused at once, and that they show the evaluated ones."""

from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.rollout import Finished
from dreamer_exp.evaluation.video.camera import Camera
from dreamer_exp.evaluation.video.film import choose, file_name, film, refuse_unfilmable
from dreamer_exp.evaluation.video.frames import Panel
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.evaluation.video.write import film_suffix
from dreamer_exp.evaluation.workers.processes import kept_processes
from tests.evaluation.policies import Wanderer
from tests.evaluation.video.reading import read_film
from tests.experiments import nano, nano_gym
from tests.training import odd_envs  # noqa: F401  # registers Blind and Mute

ONE = FilmRequest(1)


def ended(*outcomes: str | None) -> list[Finished]:
    """Return episodes with these outcomes, of seeds 10, 11, ..."""
    results = [EpisodeResult(0.0, 1, outcome=outcome) for outcome in outcomes]
    return [Finished(EvaluationEpisode(seed), result) for seed, result in enumerate(results, 10)]


def panel(name: str, outcome: str | None) -> Panel:
    return Panel(name, Camera(), EpisodeResult(0.0, 1, outcome=outcome))


def chosen(finished: list[Finished], count: int) -> list[int]:
    return [episode.seed for episode in choose(finished, count)]


def test_the_first_failures_are_filmed_then_the_first_others() -> None:
    results = ended("success", "timeout", "success", "wall_collision", "timeout")
    assert chosen(results, 2) == [11, 13]
    assert chosen(results, 4) == [11, 13, 14, 10]


def test_failures_of_the_worst_scenarios_are_filmed_first_and_in_turn() -> None:
    outcomes = {"open": "success", "hall": "success", "hall ": "timeout", "door": "timeout", "door ": "wall_collision"}
    results = [EpisodeResult(0.0, 1, outcome=outcome, scenario=name.strip()) for name, outcome in outcomes.items()]
    finished = [Finished(EvaluationEpisode(seed), result) for seed, result in enumerate(results, 10)]
    assert chosen(finished, 5) == [13, 12, 14, 11, 10]


def test_without_failures_or_outcomes_the_first_episodes_are_filmed() -> None:
    assert chosen(ended("success", "success", "success"), 2) == [10, 11]
    assert chosen(ended(None, None, None), 2) == [10, 11]


def test_a_file_name_holds_the_scenario_of_a_list_and_every_outcome() -> None:
    policy = panel("policy", "timeout")
    assert file_name("film", EvaluationEpisode(7), [policy]) == "film_seed7_timeout"
    assert file_name("film", EvaluationEpisode(7), [panel("policy", None)]) == "film_seed7_episode"
    both = [policy, panel("orca", "success")]
    assert file_name("film", EvaluationEpisode(7, "a/b 1"), both) == "film_a-b-1_seed7_timeout_orca_success"


def test_a_film_shows_the_evaluated_episode(tmp_path: Path) -> None:
    settings = nano("env.scenario=dense", "env.max_steps=60", "evaluation.episodes=3")
    results = [finished.result for finished in evaluate_policy(settings, Wanderer)]
    (path,) = film(settings, Wanderer, [EvaluationEpisode(1_000_001)], tmp_path / "evaluated", ONE)
    assert path.name == f"evaluated_seed1000001_{results[1].outcome}{film_suffix()}"
    assert read_film(path) == (results[1].length + 1, (480, 506), 10.0)


def test_a_film_is_the_same_by_another_process(tmp_path: Path) -> None:
    settings = nano("env.scenario=dense", "env.max_steps=30", "evaluation.episodes=1")
    episode = [EvaluationEpisode(1_000_000)]
    (here,) = film(settings, Wanderer, episode, tmp_path / "here", ONE)
    with kept_processes(1) as workers:
        (there,) = film(settings, Wanderer, episode, tmp_path / "there", ONE, workers=workers)
    assert read_film(there) == read_film(here)
    assert there.name == here.name.replace("here", "there")


def test_a_baseline_is_filmed_next_to_the_policy_on_the_same_seed(tmp_path: Path) -> None:
    settings = nano("env.scenario=dense", "env.max_steps=30", "evaluation.episodes=1")
    (policy,), (orca,) = evaluate_policy(settings, Wanderer), evaluate_baseline(settings, "orca")
    request = FilmRequest(1, ("orca",))
    (path,) = film(settings, Wanderer, [EvaluationEpisode(1_000_000)], tmp_path / "evaluated", request)
    assert path.stem == f"evaluated_seed1000000_{policy.result.outcome}_orca_{orca.outcome}"
    length = max(policy.result.length, orca.length)
    assert read_film(path) == (length + 1, (964, 532), 10.0)


def test_with_repeated_actions_a_film_still_runs_in_real_time(tmp_path: Path) -> None:
    settings = nano("env.max_steps=20", "env.action_repeat=4", "evaluation.episodes=1")
    (path,) = film(settings, Wanderer, [EvaluationEpisode(1_000_000)], tmp_path / "evaluated", ONE)
    assert read_film(path) == (6, (480, 506), 2.5)


def test_a_task_without_a_scene_is_filmed_by_its_renderer(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    settings = nano_gym("CartPole-v1", "evaluation.episodes=1")
    (path,) = film(settings, Pusher, [EvaluationEpisode(1_000_000)], tmp_path / "evaluated", ONE)
    assert read_film(path)[1:] == ((600, 426), 50.0)


class Pusher(Wanderer):
    """Policy that always pushes to the left."""

    def act(self, observations):  # type: ignore[no-untyped-def]
        return [0] * len(observations)


@pytest.mark.parametrize("env_id", ["Blind-v0", "Mute-v0"])
def test_an_environment_without_frames_is_refused(env_id: str) -> None:
    with pytest.raises(UserError, match=rf"^video=1: env.id='{env_id}' cannot be filmed: no frames: "):
        refuse_unfilmable(nano_gym(env_id), ONE)


@pytest.mark.parametrize("name", ["hall", "goal"])
def test_a_baseline_that_the_environment_has_not_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"^baseline={name}: not for env=crowd_nav.* it has: random, straight_to_goal,"):
        refuse_unfilmable(nano(), FilmRequest(1, (name, "orca")))
