"""The linear predictor: it finds linear dynamics, and never looks across episodes."""

import numpy as np
import pytest

from dreamer_exp.algorithms.open_loop import Imagined
from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.evaluation.world_model.linear import MOST_INPUTS, LinearPredictor, fit

AHEAD = 4
ENTRIES = np.arange(2)


def pushed(episodes: int = 60, length: int = 20, jump: float = 100.0) -> RecordedSteps:
    """Return episodes of a point (position, speed, its episode) that actions accelerate; the reward is its speed."""
    rng = np.random.default_rng(0)
    observation = np.zeros((episodes, length, 3), np.float32)
    action = rng.uniform(-1, 1, (episodes, length, 1)).astype(np.float32)
    observation[:, 0] = rng.normal(size=(episodes, 3))
    observation[..., 2] = jump * np.arange(episodes)[:, None] / episodes
    for step in range(1, length):
        observation[:, step, 1] = 0.9 * observation[:, step - 1, 1] + action[:, step - 1, 0]
        observation[:, step, 0] = observation[:, step - 1, 0] + 0.1 * observation[:, step, 1]
    is_first = np.arange(episodes * length) % length == 0
    columns = observation.reshape(-1, 3), action.reshape(-1, 1), observation[..., 1].ravel()
    return RecordedSteps(*columns, is_first, np.zeros_like(is_first))


def predicted(linear: LinearPredictor, recorded: RecordedSteps, starts: list[int]) -> tuple[Imagined, np.ndarray]:
    """Return the predictions at some steps, and the recorded observations there and after them."""
    window = np.array(starts)[:, None] + np.arange(AHEAD + 1)
    observation, reward = recorded.observation[window], recorded.reward[window]
    last = Imagined(observation, reward, np.ones_like(reward))
    return linear.predict(observation[:, 0], recorded.action[window[:, :-1]], last), observation


def test_linear_dynamics_are_predicted() -> None:
    recorded = pushed()
    linear = fit(recorded, ENTRIES, AHEAD)
    assert linear is not None
    found, truth = predicted(linear, recorded, [0, 45, 205])
    assert found.observation[..., :2] == pytest.approx(truth[..., :2], abs=0.05)
    assert found.reward == pytest.approx(truth[..., 1], abs=0.05)
    assert found.proceeds == pytest.approx(np.ones((3, AHEAD + 1)), abs=0.01)


def test_entries_that_are_not_predicted_keep_their_value() -> None:
    recorded = pushed()
    linear = fit(recorded, ENTRIES, AHEAD)
    assert linear is not None
    found, truth = predicted(linear, recorded, [7])
    assert found.observation[..., 2].tolist() == truth[..., 2].tolist()


def test_a_step_of_another_episode_is_never_predicted() -> None:
    recorded = pushed(length=AHEAD + 1, jump=1e6)
    linear = fit(recorded, np.arange(3), AHEAD)
    assert linear is not None
    found, truth = predicted(linear, recorded, [0, 50])
    assert np.abs(found.observation[..., 2] - truth[..., 2]).max() < 1.0  # constant within each episode


def test_ends_make_the_probability_to_continue_smaller() -> None:
    recorded = pushed(length=6)
    recorded.is_terminal[5::6] = True  # every episode ends at its sixth step
    linear = fit(recorded, ENTRIES, AHEAD)
    assert linear is not None
    found, _ = predicted(linear, recorded, [0, 6])
    assert 0.0 < found.proceeds[:, AHEAD].mean() < 0.9
    assert found.proceeds[:, 0].tolist() == [1.0, 1.0]


def test_there_is_no_predictor_for_a_large_observation() -> None:
    recorded = pushed(episodes=10)
    large = np.zeros((len(recorded), MOST_INPUTS + 1), np.float32)
    assert fit(RecordedSteps(large, *list(vars(recorded).values())[1:]), ENTRIES, AHEAD) is None


def test_there_is_no_predictor_without_episodes_to_choose_the_penalty_with() -> None:
    assert fit(pushed(episodes=1), ENTRIES, AHEAD) is None
