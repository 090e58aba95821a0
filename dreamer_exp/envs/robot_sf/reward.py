"""Robot SF's rewards and the names of their weights, without the package (40d0854)."""

from collections.abc import Mapping

from dreamer_exp.config.errors import UserError, nearest

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


def check_reward(name: str, weights: Mapping[str, float]) -> None:
    """Raise UserError for a weight that this reward doesn't have; `name` was checked by the schema."""
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
