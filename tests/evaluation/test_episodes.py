"""The list of an evaluation's episodes: seeds, and scenarios covered evenly."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from dreamer_exp.evaluation.episodes import (
    EvaluationEpisode,
    cover_evenly,
    describe_cover,
    episode_list,
)
from tests.experiments import nano

FORTY_EIGHT = [f"scenario {place:02}" for place in range(48)]
LEVELS = [f"{place} {level}" for place in range(16) for level in ("low", "medium", "high")]


@dataclass
class Resets:
    """An environment that keeps what `reset` is given."""

    given: dict[str, Any]

    def reset(self, **given: Any) -> tuple[None, dict[str, Any]]:
        self.given = given
        return None, {}


def test_each_episode_has_another_seed() -> None:
    driven = episode_list(nano("evaluation.episodes=3", "evaluation.seed=7"))
    assert driven.episodes == (EvaluationEpisode(7), EvaluationEpisode(8), EvaluationEpisode(9))
    assert driven.choice == "seeds 7 to 9"


@pytest.mark.parametrize("count", [1, 20, 47, 48, 50, 70, 96, 1000])
def test_every_scenario_is_driven_as_often_as_any_other_or_once_more(count: int) -> None:
    chosen = Counter(cover_evenly(FORTY_EIGHT, count, seed=1_000_000))
    times = [chosen[name] for name in FORTY_EIGHT]
    assert sum(times) == count
    assert max(times) - min(times) <= 1


def test_few_episodes_are_spread_over_the_complete_list() -> None:
    places = [FORTY_EIGHT.index(name) for name in cover_evenly(FORTY_EIGHT, 12, seed=1_000_000)]
    assert [place // 4 for place in places] == list(range(12))


def test_few_episodes_meet_every_level_of_difficulty() -> None:
    chosen = cover_evenly(LEVELS, 16, seed=1_000_000)
    assert {name.split()[1] for name in chosen} == {"low", "medium", "high"}


def test_the_choice_is_the_same_every_time_and_differs_with_the_seed() -> None:
    assert cover_evenly(FORTY_EIGHT, 20, seed=1) == cover_evenly(FORTY_EIGHT, 20, seed=1)
    assert cover_evenly(FORTY_EIGHT, 20, seed=1) != cover_evenly(FORTY_EIGHT, 20, seed=2)


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (20, "20 of 48 scenarios, one drawn from each of 20 equal stretches of their list"),
        (48, "48 scenarios, 1 episode each"),
        (96, "48 scenarios, 2 episodes each"),
        (100, "48 scenarios, 2 episodes each, and one more of 4 drawn from equal stretches of their list"),
    ],
)
def test_a_line_describes_how_the_scenarios_were_chosen(count: int, line: str) -> None:
    assert describe_cover(48, count) == line


def test_an_episode_resets_with_its_seed_and_scenario() -> None:
    env = Resets({})
    EvaluationEpisode(7, "door").begin(env)  # type: ignore[arg-type]
    assert env.given == {"seed": 7, "options": {"scenario": "door"}}
    EvaluationEpisode(7).begin(env)  # type: ignore[arg-type]
    assert env.given == {"seed": 7, "options": None}
