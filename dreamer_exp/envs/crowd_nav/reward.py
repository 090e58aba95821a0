"""The terms of the reward, after Robot SF's route_completion_v3 (40d0854)."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import NamedTuple

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.crowd_nav.config import CrowdNavReward
from dreamer_exp.envs.crowd_nav.constants import DT, MAX_SPEED, NEAR_MISS_CLEARANCE, PERSONAL_SPACE
from dreamer_exp.envs.crowd_nav.kinematics import clip
from dreamer_exp.envs.episode import COLLISIONS, SUCCESS, TIMEOUT, Outcome

PROGRESS_CAP = MAX_SPEED * DT
"""Largest progress in metres that one step can be rewarded for, in both directions: 0.2."""

TERMS = tuple(field.name for field in fields(CrowdNavReward))


class Transition(NamedTuple):
    """The quantities of one step that the reward depends on."""

    progress: float
    """Decrease of the remaining route length in metres."""
    clearance: float | None
    """Metres between the surfaces of robot and nearest pedestrian; None without pedestrians."""
    action_change: float
    """Mean absolute change of the action since the previous step, over its span: 0 to 1."""
    outcome: Outcome | None
    """The outcome, or None before the end."""


def reward_terms(weights: CrowdNavReward, step: Transition) -> dict[str, float]:
    """Return the weighted terms of the reward of one step; the reward is their sum.

    - progress: weight * clip(remaining route length before - after, -0.2, 0.2), both in metres along the waypoints and
      with the waypoint that was current before the step, so that a change of waypoint doesn't count as progress.
    - living: weight.
    - collision: weight, at a collision with a pedestrian or a wall.
    - near_miss: weight, if the clearance to the nearest pedestrian is above 0 and below 0.5 m.
    - comfort: weight * clip(1 - clearance / 1 m, 0, 1).
    - smoothness: weight * action change (0 to 1).
    - timeout: weight, at the step limit.
    - terminal_bonus: weight, at the goal.
    """
    clearance = PERSONAL_SPACE if step.clearance is None else step.clearance
    return {
        "progress": weights.progress * clip(step.progress, -PROGRESS_CAP, PROGRESS_CAP),
        "living": weights.living,
        "collision": weights.collision if step.outcome in COLLISIONS else 0.0,
        "near_miss": weights.near_miss if 0.0 < clearance < NEAR_MISS_CLEARANCE else 0.0,
        "comfort": weights.comfort * clip(1.0 - clearance / PERSONAL_SPACE, 0.0, 1.0),
        "smoothness": weights.smoothness * step.action_change,
        "timeout": weights.timeout if step.outcome == TIMEOUT else 0.0,
        "terminal_bonus": weights.terminal_bonus if step.outcome == SUCCESS else 0.0,
    }


def action_change(previous: tuple[float, float], action: tuple[float, float]) -> float:
    """Return the mean absolute difference of two actions in [-1, 1], over its largest value 2: 0 to 1."""
    return 0.25 * (abs(action[0] - previous[0]) + abs(action[1] - previous[1]))


def reward_weights(given: CrowdNavReward | Mapping[str, float] | None) -> CrowdNavReward:
    """Return the weights: those given, or the defaults with the changes of a mapping.

    Raises:
        UserError: a mapping names a term that doesn't exist, or a weight isn't finite.
    """
    if isinstance(given, CrowdNavReward):
        return given
    weights = asdict(CrowdNavReward()) | dict(given or {})
    for name, weight in weights.items():
        if name not in TERMS:
            raise UserError(f"env.reward.{name}: no such term.{nearest(name, TERMS)} There are: {', '.join(TERMS)}")
        if not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise UserError(f"env.reward.{name}={weight!r}: a weight is a finite number")
    return CrowdNavReward(**weights)
