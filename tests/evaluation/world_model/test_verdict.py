"""Whether horizon_H is earned, and the sentence about it."""

from typing import Any

import pytest

from dreamer_exp.evaluation.world_model.verdict import LINEAR, MODEL, STILL, better_steps, earned_steps, sentence

Errors = list[float | None]


def errors(model: Errors, still: Errors, linear: Errors) -> dict[str, Any]:
    """Return the errors of steps 1, 2, ...; step 0 is the last seen one."""
    found: dict[str, Any] = {MODEL: [0.0, *model], STILL: [0.0, *still], LINEAR: [0.0, *linear]}
    return found | {"better_at": better_steps(found)}


def test_the_model_has_to_be_better_than_both() -> None:
    assert errors([1, 1, 1, 1], [2, 1, 2, 0], [2, 2, 0.5, 2])["better_at"] == [1]


@pytest.mark.parametrize(
    ("model", "earned"),
    [
        ([1, 1, 1, 1, 1], 5),
        ([9, 1, 1, 1, 1], 5),  # decoded observations are blurred, which costs most at the first step
        ([1, 1, 1, 9, 9], 3),
        ([9, 9, 9, 1, 9], 0),  # one step of luck
        ([9, 9, 9, 9, 9], 0),
    ],
)
def test_the_last_better_step_counts_if_most_before_it_are_better(model: Errors, earned: int) -> None:
    assert earned_steps(errors(model, [2] * 5, [3] * 5), 5) == earned


def test_steps_beyond_the_horizon_do_not_count() -> None:
    assert earned_steps(errors([1, 1, 1, 1], [2] * 4, [2] * 4), 2) == 2


def test_steps_at_which_nothing_ended_do_not_count() -> None:
    assert earned_steps(errors([0.1, 0.1, 0.1], [0, 0, 2], [0, 0, 2]), 3) == 3
    assert earned_steps(errors([0.1, 0.1, 0.1], [0, 0, 0], [0, 0, 0]), 3) is None


def test_a_horizon_that_no_episode_reaches_is_earned_by_the_steps_before() -> None:
    assert earned_steps(errors([1, 1, None], [2, 2, None], [2, 2, None]), 3) == 3


@pytest.mark.parametrize(
    ("earned", "words"),
    [
        ({"rays": 15, "reward": 15},
         "is earned: the model beats both predictors up to step 15 of 15 on rays and reward"),
        ({"rays": 9, "reward": 3},
         "is not earned: the model beats both predictors up to step 3 of 15 (rays 9, reward 3)"),
        ({"rays": 15, "continue": None},
         "is earned: the model beats both predictors up to step 15 of 15 on rays; continue: no episode ended"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_last_earned_step(earned: dict[str, int | None], words: str) -> None:
    assert sentence(15, earned, has_linear=True) == f"horizon_H = 15 {words}"


def test_without_any_change_the_verdict_is_unknown() -> None:
    words = "whether horizon_H = 15 is earned is unknown: nothing changed and no episode ended"
    assert sentence(15, dict.fromkeys(("rays", "reward", "continue")), has_linear=True) == words


def test_a_reward_that_never_changed_has_nothing_to_predict() -> None:
    assert sentence(15, {"rays": 15, "reward": None}, has_linear=True).endswith("on rays; reward: nothing to predict")


def test_without_a_replay_the_sentence_names_the_one_predictor() -> None:
    assert "beats the last step repeated up to" in sentence(15, {"rays": 15}, has_linear=False)
