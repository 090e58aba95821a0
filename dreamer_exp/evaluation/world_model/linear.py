"""A linear predictor for the world-model check: ridge regressions from a step and the actions after it.

Letters: N rows, O observation, Q predicted observation entries, A actions, H steps ahead.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.open_loop import Imagined
from dreamer_exp.algorithms.protocol import RecordedSteps

MOST_STEPS = 20_000  # of the replay
MOST_ROWS = 6_000  # start points of the regressions
MOST_INPUTS = 4_096  # floats of an observation
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # per row, of standardised inputs

Array = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class StepPredictor:
    """Regression for one number of steps ahead, on standardised inputs (N, O + 1 + k A) and outputs (N, Q + 2)."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __call__(self, inputs: Array) -> NDArray[np.float64]:
        """Return the change of the entries, the reward, and 1 if the episode continues."""
        predicted: NDArray[np.float64] = (inputs - self.mean) / self.scale @ self.weights + self.offset
        return predicted


@dataclass(frozen=True)
class LinearPredictor:
    """Regressions for 1 to H steps ahead.

    Attributes:
        entries: the predicted entries of the observation (Q,).
        steps: one regression for each step.
        low, high: least and greatest recorded value of each entry (Q,).
        rows: start points that they were fitted to.
    """

    entries: Ints
    steps: tuple[StepPredictor, ...]
    low: Array
    high: Array
    rows: int

    def predict(self, observation: Array, actions: Array, last: Imagined) -> Imagined:
        """Return the prediction for each step.

        Args:
            observation: the last seen one (N, O).
            actions: after it (N, H, A).
            last: what the simulator did; its first step is the last seen one.
        """
        number = len(self.steps) + 1
        seen = np.repeat(observation[:, None], number, 1)  # entries that are not predicted keep their value
        reward, proceeds = np.repeat(last.reward[:, :1], number, 1), np.ones((len(observation), number), np.float32)
        for ahead, step in enumerate(self.steps, 1):
            outputs = step(_inputs(observation, last.reward[:, 0], actions, ahead)).astype(np.float32)
            change, reward[:, ahead], going_on = outputs[:, :-2], outputs[:, -2], outputs[:, -1]
            seen[:, ahead, self.entries] = np.clip(observation[:, self.entries] + change, self.low, self.high)
            proceeds[:, ahead] = np.clip(going_on, 0.0, 1.0)
        return Imagined(seen, reward, proceeds)


def fit(recorded: RecordedSteps, entries: Ints, ahead: int) -> LinearPredictor | None:
    """Return the predictor of these entries; None if the observation is too large or too few steps are recorded.

    Each output has the penalty that predicts a fifth of the pieces of episodes best, after a fit to the others.

    Args:
        recorded: steps of the replay.
        entries: of the observation vector (Q,).
        ahead: H.
    """
    if recorded.observation.shape[1] > MOST_INPUTS:
        return None
    piece = np.cumsum(recorded.is_first)
    starts = np.arange(len(recorded))
    if len(starts) > MOST_ROWS:
        starts = np.sort(np.random.default_rng(0).choice(starts, MOST_ROWS, replace=False))
    steps = []
    for k in range(1, ahead + 1):
        inside = starts[starts + k < len(recorded)]
        rows = inside[piece[inside + k] == piece[inside]]
        held_out = piece[rows] % 5 == 0
        if not held_out.any() or held_out.all():
            return None
        steps.append(_fit_step(recorded, entries, rows, held_out, k))
    of_entries = recorded.observation[:, entries]
    return LinearPredictor(entries, tuple(steps), of_entries.min(0), of_entries.max(0), len(starts))


def _fit_step(
    recorded: RecordedSteps, entries: Ints, rows: Ints, held_out: NDArray[np.bool_], ahead: int
) -> StepPredictor:
    actions = recorded.action[rows[:, None] + np.arange(ahead)]
    inputs = _inputs(recorded.observation[rows], recorded.reward[rows], actions, ahead)
    change = recorded.observation[np.ix_(rows + ahead, entries)] - recorded.observation[np.ix_(rows, entries)]
    others = np.stack([recorded.reward[rows + ahead], 1.0 - recorded.is_terminal[rows + ahead]], -1)
    outputs = np.concatenate([change, others.astype(np.float32)], -1)
    mean, scale = inputs[~held_out].mean(0), inputs[~held_out].std(0)
    scale = np.where(scale > 1e-6, scale, 1.0).astype(np.float32)
    offset = outputs[~held_out].mean(0)
    x, y = (inputs - mean) / scale, outputs - offset
    fitted, target = x[~held_out], y[~held_out]
    covariance, moment = (fitted.T @ fitted).astype(np.float64), (fitted.T @ target).astype(np.float64)
    identity = len(fitted) * np.eye(len(covariance))
    candidates = np.stack([np.linalg.solve(covariance + penalty * identity, moment) for penalty in PENALTIES])
    errors = np.stack([np.square(x[held_out] @ weights - y[held_out]).mean(0) for weights in candidates])
    best = candidates[errors.argmin(0), :, np.arange(errors.shape[1])].T
    return StepPredictor(mean.astype(np.float64), scale.astype(np.float64), best, offset.astype(np.float64))


def _inputs(observation: Array, reward: Array, actions: Array, ahead: int) -> Array:
    """Return the inputs (N, O + 1 + k A) of the regression for k steps ahead."""
    taken = actions[:, :ahead].reshape(len(observation), -1)
    inputs: Array = np.concatenate([observation, reward[:, None], taken], -1)
    return inputs
