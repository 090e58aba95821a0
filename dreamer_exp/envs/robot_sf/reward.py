"""Robot SF's rewards and the names of their weights, without the package (40d0854)."""

from collections.abc import Mapping

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.robot_sf.config import RobotSFConfig

ROUTE_TERMS = (
    "progress", "living", "collision", "near_miss", "ttc_risk", "comfort", "smoothness", "timeout", "stagnation",
    "terminal_bonus",
)  # fmt: skip
SNQI_TERMS = ("w_success", "w_time", "w_collisions", "w_near", "w_comfort", "w_force_exceed", "w_jerk")

WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "route_completion_v2": ROUTE_TERMS,
    "route_completion_v3": ROUTE_TERMS,
    "social_quality_v1": ROUTE_TERMS,
    "snqi_step": SNQI_TERMS,
    "simple": (),
    "punish_action": (),
    "alyassi": (),
}
"""Reward -> names of its weights; Robot SF silently ignores any other name."""

STRAIGHT, ROUTE = "straight", "route"
WITH_DISTANCE = ("route_completion_v2", "route_completion_v3", "social_quality_v1", "alyassi")
"""Rewards that read the distance to the goal, which env.progress measures."""


def check_reward(config: RobotSFConfig) -> None:
    """Raise UserError for a weight, or a way to measure progress, that this reward doesn't have."""
    name, weights = config.reward_name, config.reward_weights
    if config.progress == ROUTE and name not in WITH_DISTANCE:
        raise UserError(
            f"env.progress=route: env.reward_name={name} doesn't read the distance to the goal. "
            f"Rewards that do: {', '.join(WITH_DISTANCE)}."
        )
    terms = WEIGHTS[name]
    for weight in weights:
        if weight not in terms:
            has = f"It has: {', '.join(terms)}." if terms else "Set env.factory_kwargs.reward_kwargs instead."
            raise UserError(
                f"env.reward_weights.{weight}: env.reward_name={name} has no such weight.{nearest(weight, terms)} {has}"
            )
    if name == "snqi_step" and weights and set(weights) != set(SNQI_TERMS):
        missing = ", ".join(term for term in SNQI_TERMS if term not in weights)
        raise UserError(f"env.reward_weights: snqi_step takes all of its weights or none; missing: {missing}.")
